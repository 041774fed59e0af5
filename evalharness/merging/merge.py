"""Merge checkpoints into a new one that `run` accepts as a candidate; the stages in order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from evalharness import checkpoints, merging, registry
from evalharness.checkpoints.recognise import recognise
from evalharness.merging.job import MergeJob, check_job
from evalharness.merging.output import new_checkpoint
from evalharness.merging.parents import Parents, parents_of
from evalharness.merging.record import ends_as_full, merge_facts, write_record
from evalharness.merging.tokenizer_files import other_tokenizers

STEP = "step of a merge"


def merge(job: MergeJob, notify: Callable[[str], None] = lambda notice: None) -> dict[str, Any]:
    """Merge the checkpoints, verify the result as `run` does, and move it to its path; return the facts of its
    merge.json.

    `notify` receives notices about the parents. Raises UsageError, ModelError or StoreError; then no result is left.
    """
    check_job(job)
    parents = parents_of(job)
    verify = registry.find(checkpoints.REGISTRY, "verify", "checkpoint step")
    with new_checkpoint(job) as folder:
        for checkpoint in parents.checkpoints:
            for notice in verify(checkpoint):
                notify(notice)
        for name in other_tokenizers(parents.checkpoints):
            notify(f"{name}: has another tokenizer than {parents.checkpoints[0].name}, whose files the result has")
        facts = merge_facts(job, parents, _write_weights(job, parents, folder))
        write_record(facts, folder)
        verify(recognise(str(folder), base=str(parents.base.path)))
    return facts


def _write_weights(job: MergeJob, parents: Parents, folder: Path) -> dict[str, Any]:
    """Write the merged weights, and return facts for merge.json."""
    if not parents.adapters:
        return dict(registry.find(merging.REGISTRY, "task_vectors", STEP)(job, parents, folder))
    to_full = registry.find(merging.REGISTRY, "into_base", STEP)
    if job.method is None:
        return dict(to_full(parents.checkpoints[0], parents.base, folder, job.dtype))
    combine = registry.find(merging.REGISTRY, "combine", STEP)
    if not ends_as_full(job):
        return dict(combine(job, parents, folder))
    between = folder.parent / "adapter"
    between.mkdir(exist_ok=True)
    combined = combine(job, parents, between)
    adapter = recognise(str(between), base=str(parents.base.path))
    return {**combined, **to_full(adapter, parents.base, folder, job.dtype)}
