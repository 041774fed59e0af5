"""A hub id to a local directory with the few kinds of files that a checkpoint needs. Quick to say when the hub is
away.
"""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

from evalharness.errors import ModelError

WANTED = ("*.safetensors", "*.json", "*.jinja", "tokenizer.model", "*.txt", "spiece.model", "sentencepiece.bpe.model")
UNWANTED = ("*/*", "consolidated*")  # files of other formats and frameworks, which would be fetched for nothing
PATIENCE = 5.0  # seconds to wait for the hub's answer


def fetch(name: str, revision: str | None) -> Path:
    """The local snapshot of a hub repository; the cached one when the hub is away. Raises ModelError when there is
    neither.
    """
    where = name if revision is None else f"{name}@{revision}"
    quiet = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        found = snapshot_download(
            name, revision=revision, etag_timeout=PATIENCE, allow_patterns=list(WANTED), ignore_patterns=list(UNWANTED)
        )
    except GatedRepoError:
        raise ModelError(
            where, "this hub repository asks for a login", "run `hf auth login`, or give a local directory"
        ) from None
    except RevisionNotFoundError:
        raise ModelError(
            where, "the hub has no such revision", "name a branch, tag or commit of the repository"
        ) from None
    except RepositoryNotFoundError:
        raise ModelError(
            where,
            "neither a local directory nor a repository on the hub",
            "check the spelling; a local path starts with ./ or /",
        ) from None
    except HFValidationError as error:
        raise ModelError(
            where, f"neither a local directory nor a hub id ({error})", "a local path starts with ./ or /"
        ) from None
    except Exception as error:  # the hub client's transport errors have no common class
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelError(
            where, f"no such directory, and the hub cannot be reached ({reason[0]})", "give a local path, or go online"
        ) from None
    finally:
        if not quiet:
            enable_progress_bars()
    return Path(found)
