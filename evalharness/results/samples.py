"""Read and write samples/TASK/MODEL.jsonl, a model's prompts and answers, and find flips.

There is one JSON line per example. A flip is an example that the candidate answers better or worse than the base.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Literal

from evalharness.errors import UsageError, did_you_mean
from evalharness.json_text import parse_json
from evalharness.records.comparison import Level
from evalharness.records.measurements import Sample
from evalharness.records.results import Flip, ModelRow, Results
from evalharness.results.files import samples_path, write_text
from evalharness.results.structuring import AGAIN, structure_json


def write_samples(out: Path, task: str, model: str, samples: Sequence[Sample]) -> None:
    """Write one JSON line per example, in the order of the evaluation. Raises StoreError."""
    names, encoder = [field.name for field in fields(Sample)], json.JSONEncoder(allow_nan=False)
    lines = (encoder.encode({name: getattr(sample, name) for name in names}) for sample in samples)
    write_text(samples_path(out, task, model), "".join(f"{line}\n" for line in lines))


def read_samples(out: Path, task: str, model: str) -> list[Sample]:
    """Read the samples of one task and model; none if the file is missing, because a report can do without. Raises
    UsageError.
    """
    path = samples_path(out, task, model)
    if not path.is_file():
        return []
    lines = path.read_bytes().splitlines()
    return [_sample(line, f"{path}:{number}") for number, line in enumerate(lines, start=1)]


def find_sample(out: Path, results: Results, task: str, model: str | None, example: str) -> Sample:
    """Read the sample of one example, by its id, in the run `out`.

    It is that of `model`, or of the first candidate if `model` is None. Raises UsageError if model, samples or example
    are not there.
    """
    names = [row.name for row in results.models]
    if model is not None and model not in names:
        raise UsageError("--model", f"no model {model!r} in {out}", did_you_mean(model, names))
    model = model or results.candidates[0]
    samples = {sample.id: sample for sample in read_samples(out, task, model)}
    if not samples:
        raise UsageError(out, f"has no samples of {model} on {task}", "name a task and a model of this run")
    if example not in samples:
        raise UsageError("--example", f"no example {example!r} of {task}", did_you_mean(example, samples))
    return samples[example]


def _sample(line: bytes, where: str) -> Sample:
    try:
        value = parse_json(line)
    except ValueError as error:
        raise UsageError(where, f"not JSON ({error})", AGAIN) from error
    return structure_json(value, Sample, where)


def read_flips(out: Path, results: Results) -> Iterator[Flip]:
    """Read the examples whose score differs between the base and any candidate, by task and candidate.

    Each has the answers of all candidates. Corpus metrics have no score of single examples, so no flips. The tasks
    with written answers that a diagnosis uses are included.
    """
    compared = [c.task for c in results.comparisons if c.level == Level.TASK and c.primary]
    tasks: dict[tuple[str, str], list[str]] = {}  # candidates by task and base
    for model in results.models:
        if model.base is not None and model.judged:
            for task in dict.fromkeys([*compared, *_twin_tasks(results, model)]):
                tasks.setdefault((task, model.base), []).append(model.name)
    for (task, base), candidates in tasks.items():
        before = {sample.id: sample for sample in read_samples(out, task, base)}
        pairs = [
            (name, before[sample.id], sample)
            for name in (candidates if before else ())
            for sample in read_samples(out, task, name)
            if sample.id in before
        ]
        changed = {sample.id for _, old, sample in pairs if _direction(old, sample) in ("lost", "gained")}
        for name, old, sample in pairs:
            if sample.id in changed and (direction := _direction(old, sample)):
                yield Flip(task=task, candidate=name, direction=direction, base=old, sample=sample)


def _direction(before: Sample, after: Sample) -> Literal["lost", "gained", "same"] | None:
    """Return how the score changes from base to candidate; None if either has no score."""
    if before.score is None or after.score is None:
        return None
    if before.score == after.score:
        return "same"
    return "lost" if after.score < before.score else "gained"


def _twin_tasks(results: Results, model: ModelRow) -> Iterator[str]:
    """Return the tasks with written answers that a diagnosis of the model uses."""
    groups = results.signature.get("groups", {})
    for diagnosis in results.diagnoses:
        if diagnosis.candidate == model.name:
            yield from groups.get(diagnosis.twin, [diagnosis.twin])
