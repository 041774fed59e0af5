"""Lock the folder of a run's output while the run writes, so that no two runs mix their files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from evalharness.folder_lock import hold_folder, make_folder
from evalharness.records.job import Job


@contextmanager
def held_output(job: Job) -> Iterator[Job]:
    """Lock the job's output folder, and yield the job with that folder; if the user named none, a new folder is made.
    Raises UsageError if another run writes there, StoreError if it cannot be written.
    """
    if not job.output.unnamed:
        with hold_folder(job.output.folder, "--out"):
            yield job
        return
    with make_folder(job.output.folder) as folder:
        yield replace(job, output=replace(job.output, folder=folder, unnamed=False))
