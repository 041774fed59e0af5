"""State in merge.json what a merged checkpoint was made of: its base, so that it is found as a trained one's is, its
parents, and how.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from evalharness import __version__
from evalharness.checkpoints import fingerprint
from evalharness.checkpoints.files import MERGE
from evalharness.checkpoints.naming import parse
from evalharness.merging.job import ALONE, MergeJob
from evalharness.merging.parents import Parents

METHOD = "merge"  # beside the methods of training
LIBRARIES = ("torch", "transformers", "peft", "safetensors")


def merge_facts(job: MergeJob, parents: Parents, found: Mapping[str, Any]) -> dict[str, Any]:
    """What merge.json says. Paths are relative to the merged checkpoint, so that all can move together. `found`: of the
    merge, as it went.
    """
    targets = {each.target_task for each in parents.checkpoints}
    return {
        "base": _place(job, parents.base_named, parents.base.path),
        "base_as_given": parents.base_named,
        "base_fingerprint": parents.base.fingerprint,
        "base_weights": fingerprint.of_tensors(parents.base.path),
        "target_task": targets.pop() if len(targets) == 1 else None,
        "method": METHOD,
        "combination": job.method or ALONE,
        "into_base": parents.adapters and ends_as_full(job),
        "architecture": parents.base.architecture,
        "parents": [
            {
                "name": each.name,
                "path": _place(job, text, each.path),
                "kind": each.kind,
                "fingerprint": each.fingerprint,
                "weight": None if job.method is None else weight,
                "target_task": each.target_task,
            }
            for each, weight, text in zip(parents.checkpoints, parents.weights, parents.named, strict=True)
        ],
        "density": job.density,
        "seed": job.seed if job.draws else None,
        **found,
        "versions": {"evalharness": __version__, **{name: version(name) for name in LIBRARIES}},
    }


def ends_as_full(job: MergeJob) -> bool:
    """Whether a merge of adapters ends as full weights: one by itself always does."""
    return job.into_base or job.method is None


def write_record(facts: Mapping[str, Any], folder: Path) -> None:
    """Write merge.json into the merged checkpoint's folder."""
    (folder / MERGE).write_text(json.dumps(facts, indent=1, allow_nan=False) + "\n")


def _place(job: MergeJob, named: str, path: Path) -> str:
    """The hub id as it was named, else the path from the merged checkpoint."""
    if not parse(named).on_hub:
        return os.path.relpath(path, job.out.resolve())
    spec = parse(named)
    return spec.location + (f"@{spec.revision}" if spec.revision else "")
