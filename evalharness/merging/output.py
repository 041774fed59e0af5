"""Write a merged checkpoint beside its place, where nothing takes it for a whole one, and rename it when it is done."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evalharness.folder_lock import held
from evalharness.merging.job import PATH, MergeJob, check_job


@contextmanager
def new_checkpoint(job: MergeJob) -> Iterator[Path]:
    """Give the folder to write, held for this process alone; what lies in it is in its place when the block ends
    without an error, in one step, and is removed when it does not.

    Raises UsageError where something lies in its place or another process writes there, StoreError where it cannot be
    written.
    """
    unfinished = job.out.parent / f".{job.out.name}.unfinished"
    candidate = unfinished / "candidate"
    with held(unfinished, PATH, shown=job.out):
        try:
            shutil.rmtree(candidate, ignore_errors=True)
            candidate.mkdir()
            yield candidate
            check_job(job)
            candidate.rename(job.out)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
