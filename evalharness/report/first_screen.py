"""Render the page's first screen as an HTML fragment for a notebook.

It holds a sentence on who may ship, and a line for each candidate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evalharness.analysis.candidate_order import JudgedCandidate, candidate_order
from evalharness.paths import shipped
from evalharness.records.comparison import Flag
from evalharness.records.policy import Policy
from evalharness.records.results import Results
from evalharness.report import sentences, wording
from evalharness.report.gate_lines import MARKS, full_name, headline
from evalharness.report.page import environment

MOST = 12  # candidates with a line of their own
MOST_NAMED = 3  # in one sentence
BASELINE = "This is against the base of the run; the policy uses the baseline file, too: call gate()."


def first_screen(results: Results) -> str:
    """Render the fragment: a few kB, in the notebook's own colours, with every text escaped."""
    policy = Policy.recorded(results.signature)
    order = candidate_order(results)
    views: dict[str, Any] = {
        "sentence": "; ".join(sentences.headline(order.candidates)),
        "lines": [(MARKS[each.standing], wording.shortened(headline(each), 400)) for each in order.candidates[:MOST]],
        "more": len(order.candidates) - MOST,
        "failed": len(results.errors),
        "choice": [line for line in (order.choice, order.rule) if line],
        "notes": [*_target_unknown(order.candidates), *([BASELINE] if policy.looks_at_baseline else [])],
        "say": wording,
    }
    return environment(shipped("reports")).get_template("partials/notebook.html.jinja").render(views)


def _target_unknown(candidates: Sequence[JudgedCandidate]) -> list[str]:
    """Return a note on candidates without a stated target, with how to state it from Python."""
    unsaid = [each for each in candidates if each.suite is not None and Flag.NO_TARGET in each.suite.flags]
    names = [wording.shortened(full_name(each.decision), 60) for each in unsaid]
    who = wording.listed(names) if len(names) <= MOST_NAMED else wording.counted(len(names), "candidate")
    what = "what the training was for is not said, so that a gain there may stand in the suite"
    return [f"Of {who}: {what}; compare(run, target=TASK) says it, or targets by name."] if unsaid else []
