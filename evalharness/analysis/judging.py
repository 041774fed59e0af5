"""Read a run's results. If they were judged by an older rule or at other margins, judge the measurements again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from evalharness.analysis.analyse import analyse
from evalharness.analysis.margins import names_of, with_margin_facts, with_margins
from evalharness.analysis.unit_rules import is_known, names_checked_before
from evalharness.errors import UsageError, did_you_mean
from evalharness.records.measured_run import MeasuredRun
from evalharness.records.policy import DEFAULT, OPTION, Policy
from evalharness.records.results import Results
from evalharness.results import MEASUREMENTS, OlderRuleError, older_rule_of, read_flips, read_measurements, read_results
from evalharness.results.structuring import AGAIN
from evalharness.stats.enums import RULE, RULE_WITH_NOISE

OTHERWISE = {
    "alpha": "another error rate than its verdicts",
    "margins": "other margins than its verdicts",
    "limits": "limits on answers of which its results say nothing",
}
BY_POLICY = "judged again from what was measured: the policy has {}"
JUDGED_AGAIN = "judged again by rule {} from what was measured: the verdicts in its results.json are of rule {}"


def judged_results(run: Path) -> tuple[Results, str]:
    """Return the results of a run by this version's verdict rule, and a notice if they were judged again ("":
    results.json already has them so).

    Raises UsageError as `read_results` does, and if the measurements that judging again needs are missing.
    """
    try:
        return read_results(run), ""
    except OlderRuleError as older:
        folder = _measured(run, older.where, older.what)
        results = analyse(read_measurements(folder))
        notice = JUDGED_AGAIN.format(results.verdict_rule, older.rule)
        return replace(results, flips=tuple(read_flips(folder, results))), notice


def judged_by(run: Path | Results, policy: Policy, folder: Path | None = None) -> tuple[Results, str]:
    """Return the results of a run at a policy's error rate and margins, and a notice if they were judged again ("": not
    needed).

    `folder`: holds the measurements, if `run` is results and no folder. Settings that the policy does not state are the
    run's. Raises UsageError as `judged_results` does, for a margin of an unknown name, and if the measurements are
    missing.
    """
    results, notice = (run, "") if isinstance(run, Results) else judged_results(run)
    other = " and ".join(OTHERWISE[each] for each in _judged_otherwise(results, policy))
    if not other:
        return results, notice
    what = f"the policy has {other}"
    folder = folder if isinstance(run, Results) else run
    if folder is None:
        raise UsageError("gate", what, "give the run's folder, where its measurements lie")
    judged_again = analyse(at_policy(read_measurements(_measured(folder, folder, what)), policy))
    if _who(judged_again) != _who(results):
        raise UsageError(folder, f"{what}, and what lies here now was measured of other models", AGAIN)
    return judged_again, "; ".join(filter(None, (notice, BY_POLICY.format(other))))


def at_policy(run: MeasuredRun, policy: Policy) -> MeasuredRun:
    """Return the run with a policy's margins and error rate. Raises UsageError for a margin of an unknown name."""
    facts, groups = with_margin_facts(run)
    names, margins = names_of([*facts, *groups], run.plan.suite_name), dict[str, float]()
    before = names_checked_before(run.signature)
    for name, margin in policy.margins.items():
        source = policy.source(f"margins.{name}")
        if name in names or source in (DEFAULT, OPTION):
            margins[name] = margin
        elif name not in before and not is_known(name):
            what = f"no task, group or family {name!r}"
            raise UsageError(f"{source}: margins.{name}", what, did_you_mean(name, names))
    return with_margins(run, policy.margin, margins, policy.alpha)


def _who(results: Results) -> list[tuple[str, str]]:
    return [(model.name, model.fingerprint) for model in results.models]


def _judged_otherwise(results: Results, policy: Policy) -> list[str]:
    """Return the policy's settings for which the results must be judged again: they differ from those that judged the
    results, or need more than the results hold.
    """
    signature = results.signature
    margins_then, stated = signature.get("margins"), dict(policy.margins)
    older = dict(margins_then) if isinstance(margins_then, Mapping) else {}
    margins = any(older.get(name) != margin for name, margin in stated.items())
    if policy.margin is not None:
        margins = policy.margin != signature.get("margin") or older != stated
    units = [row for row in results.comparisons if row.is_gate_unit and row.n]
    different = {
        "alpha": policy.alpha is not None and policy.alpha != signature.get("alpha"),
        "margins": margins,
        "limits": bool(policy.limits) and any(row.unfit is None for row in units),
    }
    return [name for name, differs in different.items() if differs]


def _measured(run: Path, where: object, what: str) -> Path:
    """Return the folder of a run's measurements. Raises UsageError if they are missing."""
    folder = run if run.is_dir() else run.parent
    if not (folder / MEASUREMENTS).is_file():
        missing = f"{what}, and {MEASUREMENTS}, from which it would be judged again, is missing"
        raise UsageError(where, missing, AGAIN)
    return folder


def rule_notices(run: Path) -> list[str]:
    """Return a notice if this version's verdict rule is not the one that judged the run's results.json."""
    rule = older_rule_of(run)
    judges = RULE if rule is None or rule < RULE else RULE_WITH_NOISE
    return [] if rule is None else [JUDGED_AGAIN.format(judges, rule)]
