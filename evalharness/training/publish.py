"""Push a complete candidate to the hub, and check before the training that this can work."""

from __future__ import annotations

import shlex
from pathlib import Path

from huggingface_hub import HfApi, constants, get_token
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils._validators import validate_repo_id

from evalharness.errors import StoreError, UsageError, first_line
from evalharness.training.output_lock import CHECKPOINTS
from evalharness.waiting import call_within

PATIENCE = 10.0  # seconds to wait for the hub's answer about a token
OPTION = "--push-to-hub"


def check_hub(repository: str) -> None:
    """Check the repository's name, and that the hub answers and accepts the token. Raises UsageError."""
    later = "or leave it out, and upload the candidate later with `hf upload`"
    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise UsageError(f"{OPTION} {repository}", first_line(error), "USER/NAME would be right") from None
    if constants.HF_HUB_OFFLINE:
        raise UsageError(OPTION, "the hub is switched off here (HF_HUB_OFFLINE)", f"unset it, {later}")
    if not (token := get_token()):
        raise UsageError(OPTION, "there is no token for the hub", f"run `hf auth login` or set HF_TOKEN, {later}")
    if reason := _refused(token):
        what = f"the hub does not take the token ({reason})"
        raise UsageError(OPTION, what, f"check the token and the network, {later}")


def push(folder: Path, repository: str) -> str:
    """Upload a candidate without its checkpoints, and return its address. A missing repository is created as a private
    one. Raises StoreError; the candidate stays where it is.
    """
    api = HfApi()
    try:
        place = api.create_repo(repository, private=True, exist_ok=True)
        api.upload_folder(repo_id=place.repo_id, folder_path=folder, ignore_patterns=[f"{CHECKPOINTS}/**"])
    except Exception as error:  # the hub client's transport errors have no common class
        again = f"hf upload {shlex.quote(repository)} {shlex.quote(str(folder))} --exclude '{CHECKPOINTS}/**'"
        what = f"was not pushed to {repository} ({first_line(error)}); it is complete in its folder"
        raise StoreError(folder, what, f"again with `{again}`") from None
    return str(place)


def _refused(token: str) -> str:
    """Return why the hub refuses a token or does not answer; "" if it accepts it."""
    try:
        return "" if call_within(PATIENCE, lambda: HfApi().whoami(token)) else "it names no user"
    except Exception as error:
        return first_line(error)
