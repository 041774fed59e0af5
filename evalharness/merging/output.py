"""Write a merged checkpoint into a hidden folder, and rename it when it is complete."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evalharness.folder_lock import hold_folder
from evalharness.merging.job import PATH, MergeJob, check_job


@contextmanager
def new_checkpoint(job: MergeJob) -> Iterator[Path]:
    """Yield a locked folder for the checkpoint. At the end of the block it is moved to the output path in one step, or
    removed after an error.

    Raises UsageError if the output path exists or another process writes there, StoreError if it cannot be written.
    """
    unfinished = job.out.parent / f".{job.out.name}.unfinished"
    candidate = unfinished / "candidate"
    with hold_folder(unfinished, PATH, name=job.out):
        try:
            shutil.rmtree(candidate, ignore_errors=True)
            candidate.mkdir()
            yield candidate
            check_job(job)
            candidate.rename(job.out)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
