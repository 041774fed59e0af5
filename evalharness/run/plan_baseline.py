"""Recognise the candidates of a run whose base scores come from an earlier run or a baseline file."""

from __future__ import annotations

from pathlib import Path

from evalharness.analysis.baseline import Baseline, read_baseline
from evalharness.analysis.baseline_file import is_baseline_file, read_file
from evalharness.checkpoints.recognise import recognise, recognise_candidates
from evalharness.engines.openai.options import limits_of_run
from evalharness.errors import NotComparableError, UsageError
from evalharness.records.job import Job
from evalharness.records.models import Checkpoint
from evalharness.run.reference_models import precision_of, quantised


def from_baseline(job: Job, path: Path) -> tuple[Baseline, tuple[Checkpoint, ...]]:
    """Return the measured base of an earlier run or baseline file, and the job's candidates.

    The base's weights are needed only to load adapters. If they are known, they must be those that were scored: in a
    baseline file, those of the original base or of the candidate that was accepted last. Raises UsageError,
    NotComparableError.
    """
    if job.output.folder.resolve() in (path.resolve(), path.resolve().parent) and not is_baseline_file(path):
        fix = "name another folder"
        raise UsageError("--out", f"{job.output.folder} holds the baseline, which would be written over", fix)
    baselines = _bases(path)
    limits, by_chat = limits_of_run(job.engine), job.engine.by_chat
    candidates = recognise_candidates(job.models, job.models.base, limits, by_chat)
    precision = precision_of(job.models, candidates)
    candidates = tuple(quantised(candidate, precision) for candidate in candidates)
    bases = {
        candidate.name: quantised(recognise(str(candidate.base), role="base"), precision).fingerprint
        for candidate in candidates
        if candidate.base is not None
    }
    fitting = [base for base in baselines if {*bases.values()} <= {base.row.fingerprint}]
    if fitting:
        return fitting[0], candidates
    other = next(each for each in candidates if bases.get(each.name) not in (None, baselines[0].row.fingerprint))
    names = ", ".join(base.name for base in baselines)
    what = f"its base {other.base} is not the model whose scores these are ({names})"
    raise NotComparableError(other.name, what, "give the baseline of its own base, or --base instead of --baseline")


def _bases(path: Path) -> list[Baseline]:
    """List the models whose scores can replace the base's; in a baseline file the original base comes first."""
    if not is_baseline_file(path):
        return [read_baseline(path)]
    file = read_file(path)
    return [file.original, *([file.accepted] if len(file.models) > 1 else [])]
