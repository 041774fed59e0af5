"""Give libraries a private folder of a checkpoint: copies of the files in its fingerprint, and links to its weights."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from evalharness.checkpoints import files, fingerprint
from evalharness.errors import EvalHarnessError, ModelError
from evalharness.records.models import Checkpoint


@contextlib.contextmanager
def sealed(checkpoint: Checkpoint) -> Iterator[Checkpoint]:
    """Return the checkpoint and its base in private folders. Errors raised inside the block name their own folders.

    Libraries then read only files that the fingerprint covers, and later writes into the checkpoint's own folders
    change nothing, except in weights. Raises ModelError if there is no space for the copies.
    """
    with contextlib.ExitStack() as stack:
        places = {place for place in (checkpoint.path, checkpoint.base) if place is not None}
        private = {place: stack.enter_context(sealed_folder(place)) for place in places}
        base = None if checkpoint.base is None else private[checkpoint.base]
        yield replace(checkpoint, path=private[checkpoint.path], base=base)


@contextlib.contextmanager
def sealed_folder(directory: Path) -> Iterator[Path]:
    """Return the private folder of one folder's files, as `sealed` does."""
    with contextlib.ExitStack() as stack:
        try:
            temporary = stack.enter_context(
                tempfile.TemporaryDirectory(prefix="evalharness-", ignore_cleanup_errors=True)
            )
            private = Path(temporary).resolve() / directory.name
            private.mkdir(exist_ok=True)
            _fill(private, directory)
        except OSError as error:
            what = f"its small files cannot be copied to a private folder ({error})"
            fix = "see that they can be read, and set TMPDIR to a folder with enough space"
            raise ModelError(directory, what, fix) from None
        try:
            yield private
        except EvalHarnessError as error:
            texts = [text.replace(str(private), str(directory)) for text in (error.where, error.what, error.fix)]
            raise type(error)(*texts) from error.__cause__


def _fill(private: Path, directory: Path) -> None:
    for path in fingerprint.covered(directory):
        copy = private / path.relative_to(directory)
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, copy)
    for path in files.weight_files(directory):
        (private / path.name).symlink_to(path.resolve())
