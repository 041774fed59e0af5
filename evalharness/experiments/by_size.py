"""Compare finished runs across base sizes: what each method gained and forgot against its own base."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from evalharness.analysis.analyse import analyse
from evalharness.analysis.candidate_order import JudgedCandidate, candidate_order
from evalharness.analysis.margins import with_margin_facts, with_margins, with_targets
from evalharness.analysis.own_bases import check_alike, read_part, targets_of
from evalharness.errors import NotComparableError, UsageError
from evalharness.records.comparison import Flag
from evalharness.records.results import Results
from evalharness.report.sizes import SizedBase, SizedCandidate, Sizes
from evalharness.report.sweep import outcome_of


def by_size(
    texts: Sequence[str],
    margin: float | None,
    margins: Mapping[str, float],
    alpha: float | None,
    targets: Mapping[str, str],
) -> Sizes:
    """Compare the candidates of every run with its own base, judged as `compare` judges that run alone.

    `targets`: candidate -> the task that it was trained on; "" for all candidates.

    Raises UsageError for a path that is no run and if all have one base, NotComparableError for runs that cannot be
    compared.
    """
    parts = [read_part(text) for text in texts]
    everywhere, by_name = targets.get(""), {name: task for name, task in targets.items() if name}
    parts = [
        replace(
            part,
            run=with_targets(
                with_margins(part.run, margin, margins, alpha), everywhere, targets_of(part, parts, by_name)
            ),
        )
        for part in parts
    ]
    notices = check_alike(parts)
    bases: dict[str, SizedBase] = {}
    for part in parts:
        base = _base(part.text, analyse(part.run))
        there = bases.get(base.fingerprint, replace(base, runs=(), candidates=()))
        both = replace(there, runs=there.runs + base.runs, candidates=there.candidates + base.candidates)
        bases[base.fingerprint] = both
    in_order = sorted(bases.values(), key=lambda base: base.parameters)
    return Sizes(
        suite=parts[0].run.plan.suite_name,
        tasks=tuple(fact.name for fact in with_margin_facts(parts[0].run)[0]),
        level=parts[0].run.plan.level,
        bases=_in_series(in_order),
        notices=notices,
    )


def _base(text: str, results: Results) -> SizedBase:
    """Return a run's base with its candidates, each in the series of its method."""
    base = results.models[0]
    if not base.parameters:
        what = "it is not known how many parameters its base has"
        raise NotComparableError(text, what, "a run whose base was measured from its weights would be right")
    standing = {each.name: each for each in candidate_order(results).candidates}
    return SizedBase(
        name=base.name,
        fingerprint=base.fingerprint,
        parameters=base.parameters,
        runs=(Path(text).name,),
        candidates=tuple(_candidate(results, standing[name]) for name in results.candidates),
    )


def _candidate(results: Results, candidate: JudgedCandidate) -> SizedCandidate:
    name = candidate.name
    model = next(model for model in results.models if model.name == name)
    method = str(model.training.get("method") or model.kind)
    return SizedCandidate(
        name=name,
        series=method,
        method=method,
        trainable=model.trainable,
        parameters=model.parameters,
        target=model.target_task,
        standing=candidate.standing,
        incomplete=any(Flag.INCOMPLETE in row.flags for row in results.comparisons if row.candidate == name),
        outcome=outcome_of(results, name, model.target_task),
    )


def _in_series(bases: Sequence[SizedBase]) -> tuple[SizedBase, ...]:
    """Group candidates into series by method, or by name if a base has several candidates of one method. Raises
    UsageError for a base with two candidates of one name.
    """
    methods = [Counter(each.method for each in base.candidates) for base in bases]
    if all(count == 1 for counts in methods for count in counts.values()):
        return tuple(bases)
    for base in bases:
        counts = Counter(each.name for each in base.candidates)
        if doubled := sorted(name for name, count in counts.items() if count > 1):
            what = f"several candidates of {base.name} are named {', '.join(doubled)}"
            fix = "evaluate them under different names (--model NAME=PATH); answers in the store are found again"
            raise UsageError("compare", what, fix)
    return tuple(
        replace(base, candidates=tuple(replace(each, series=each.name) for each in base.candidates)) for base in bases
    )
