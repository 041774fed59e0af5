"""Write merge.json, which states a merged checkpoint's base, parents and method."""

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


def merge_facts(job: MergeJob, parents: Parents, results: Mapping[str, Any]) -> dict[str, Any]:
    """Make the content of merge.json. `results`: facts of the merge itself. Paths are relative to the merged
    checkpoint, so that all checkpoints can be moved together.
    """
    targets = {each.target_task for each in parents.checkpoints}
    return {
        "base": _place(job, parents.base_text, parents.base.path),
        "base_as_given": parents.base_text,
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
            for each, weight, text in zip(parents.checkpoints, parents.weights, parents.texts, strict=True)
        ],
        "density": job.density,
        "seed": job.seed if job.draws else None,
        **results,
        "versions": {"evalharness": __version__, **{name: version(name) for name in LIBRARIES}},
    }


def ends_as_full(job: MergeJob) -> bool:
    """Return whether a merge of adapters gives full weights. A single adapter without a method always does."""
    return job.into_base or job.method is None


def write_record(facts: Mapping[str, Any], folder: Path) -> None:
    """Write merge.json into the merged checkpoint's folder."""
    (folder / MERGE).write_text(json.dumps(facts, indent=1, allow_nan=False) + "\n")


def _place(job: MergeJob, text: str, path: Path) -> str:
    """Return the hub id as the user named it; for a model on disk, its path relative to the merged checkpoint."""
    spec = parse(text)
    if not spec.on_hub:
        return os.path.relpath(path, job.out.resolve())
    return spec.location + (f"@{spec.revision}" if spec.revision else "")
