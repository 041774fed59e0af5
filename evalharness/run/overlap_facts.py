"""Record which questions of a run each candidate saw in training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evalharness import results
from evalharness.analysis.overlap import METHOD, Hit, TrainingOverlap
from evalharness.records.requests import Example, PreparedTask, row_of
from evalharness.run.plan import RunPlan


def overlapping_units(run_plan: RunPlan, prepared: Sequence[PreparedTask]) -> dict[str, dict[str, frozenset[str]]]:
    """Collect the units (examples that belong together) with an example that a candidate saw in training: candidate ->
    task -> units.
    """
    return {
        name: {
            task.task.name: frozenset(example.unit for example, _ in _hits(overlap, task))
            for task in prepared
            if not task.task.beside
        }
        for name, overlap in run_plan.overlaps.items()
    }


def overlap_signature(run_plan: RunPlan, prepared: Sequence[PreparedTask]) -> dict[str, Any]:
    """Describe for the run's signature how questions were searched in training rows: the method, and for each candidate
    the searched sources and how many examples of each task it saw.
    """
    candidates = {name: _of_candidate(overlap, prepared) for name, overlap in run_plan.overlaps.items()}
    return {"method": METHOD, "candidates": candidates}


def write_overlap(out: Path, run_plan: RunPlan, prepared: Sequence[PreparedTask]) -> None:
    """Write overlap.jsonl: a line for every candidate and example that it saw, with the training row. If no candidate
    was searched, no file is written.
    """
    if not run_plan.overlaps:
        (out / results.OVERLAP).unlink(missing_ok=True)
        return
    lines = [
        json.dumps({"candidate": name, "task": task.task.name, "id": example.id, **asdict(hit)}, ensure_ascii=True)
        for name, overlap in run_plan.overlaps.items()
        for task in prepared
        if not task.task.beside
        for example, hit in _hits(overlap, task)
    ]
    results.write_text(out / results.OVERLAP, "".join(f"{line}\n" for line in lines))


def _hits(overlap: TrainingOverlap, task: PreparedTask) -> list[tuple[Example, Hit]]:
    """List the examples of a task that a candidate saw, with the hits."""
    hits = overlap.hits.get(task.task.name, {})
    return [(example, hits[index]) for example in task.examples if (index := row_of(example.id)) in hits]


def _of_candidate(overlap: TrainingOverlap, prepared: Sequence[PreparedTask]) -> dict[str, Any]:
    tasks = {}
    for task in prepared if overlap.sources else ():
        if not task.task.beside:
            hits = [hit for _, hit in _hits(overlap, task)]
            counts = {"whole": sum(hit.whole for hit in hits), "with_answer": sum(hit.answer for hit in hits)}
            tasks[task.task.name] = {"examples": len(task.examples), "overlapping": len(hits), **counts}
    return {"sources": [dict(source) for source in overlap.sources], "notices": list(overlap.notices), "tasks": tasks}
