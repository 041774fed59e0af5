"""Fetch a checkpoint's files from the hub, only the kinds that are needed, and fail fast if the hub does not answer."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

from evalharness.errors import ModelError, first_line
from evalharness.waiting import call_within

WANTED = ("*.safetensors", "*.json", "*.jinja", "tokenizer.model", "*.txt", "spiece.model", "sentencepiece.bpe.model")
UNWANTED = ("*/*", "consolidated*")  # files of other formats and frameworks
PATIENCE = 4.0  # seconds to wait for the hub's answer
REFUSALS: dict[type[Exception], tuple[str, str]] = {  # the first match counts: some are subclasses of others
    GatedRepoError: ("this hub repository asks for a login", "run `hf auth login`, or give a local directory"),
    RevisionNotFoundError: ("the hub has no such revision", "name a branch, tag or commit of the repository"),
    RepositoryNotFoundError: (
        "neither a local directory nor a repository on the hub",
        "check the spelling; a local path starts with ./ or /",
    ),
    HFValidationError: ("neither a local directory nor a hub id ({reason})", "a local path starts with ./ or /"),
    # the hub client's transport errors have no common class
    Exception: ("no such directory, and the hub cannot be reached ({reason})", "give a local path, or go online"),
}


def fetch(name: str, revision: str | None) -> Path:
    """Fetch a hub repository and return its local snapshot; the cached one if the hub does not answer.

    Raises ModelError if there is neither.
    """
    silent, quiet = _silent(name, revision), are_progress_bars_disabled()
    disable_progress_bars()
    try:
        return Path(
            snapshot_download(
                name,
                revision=revision,
                etag_timeout=PATIENCE,
                local_files_only=silent,
                allow_patterns=list(WANTED),
                ignore_patterns=list(UNWANTED),
            )
        )
    except Exception as error:
        what, fix = next(words for kind, words in REFUSALS.items() if isinstance(error, kind))
        where = name if revision is None else f"{name}@{revision}"
        raise ModelError(
            where, what.format(reason=f"no answer within {PATIENCE:.0f} s" if silent else first_line(error)), fix
        ) from None
    finally:
        if not quiet:
            enable_progress_bars()


def _silent(name: str, revision: str | None) -> bool:
    """Return whether the hub accepts a connection and never answers. A download has no time limit and would wait for
    ever.
    """
    try:
        call_within(PATIENCE, lambda: HfApi().model_info(name, revision=revision, timeout=2 * PATIENCE))
    except Exception as error:  # the download reports other errors better
        return isinstance(error, TimeoutError)
    return False
