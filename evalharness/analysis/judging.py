"""Read a run's results; where an older rule judged them, judge what was measured again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from evalharness.analysis.analyse import analyse
from evalharness.errors import UsageError
from evalharness.records.results import Results
from evalharness.results import MEASUREMENTS, OlderRuleError, read_flips, read_measurements, read_results, rule_of
from evalharness.results.structuring import AGAIN
from evalharness.stats.enums import RULE

JUDGED_AGAIN = "judged again by rule {} from what was measured: the verdicts in its results.json are of rule {}"


def judged_results(run: Path) -> tuple[Results, str]:
    """The results of a run by this version's rule of verdicts, and a notice where they were judged again ("": they are
    as results.json has them).

    Raises UsageError as `read_results` does, and where there is nothing to judge again.
    """
    try:
        return read_results(run), ""
    except OlderRuleError as older:
        folder = run if run.is_dir() else run.parent
        if not (folder / MEASUREMENTS).is_file():
            what = f"{older.what}, and {MEASUREMENTS}, from which it would be judged again, is missing"
            raise UsageError(older.where, what, AGAIN) from older
        results = analyse(read_measurements(folder))
        return replace(results, flips=tuple(read_flips(folder, results))), JUDGED_AGAIN.format(RULE, older.rule)


def rule_notices(run: Path) -> list[str]:
    """What to say where what a run measured is judged by another rule than its results.json was."""
    rule = rule_of(run)
    return [] if rule in (None, RULE) else [JUDGED_AGAIN.format(RULE, rule)]
