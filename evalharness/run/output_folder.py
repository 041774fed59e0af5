"""Hold the folder of a run's output for as long as it is written, so that no two runs mix what they leave there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from evalharness.folder_lock import held, made_new
from evalharness.records.job import Job


@contextmanager
def held_output(job: Job) -> Iterator[Job]:
    """Hold the job's folder, and give the job with the folder that it has: one that nobody named is made, and is no
    other run's. Raises UsageError where another run writes there, StoreError where it cannot be written.
    """
    if not job.output.unnamed:
        with held(job.output.folder, "--out"):
            yield job
        return
    with made_new(job.output.folder) as folder:
        yield replace(job, output=replace(job.output, folder=folder, unnamed=False))
