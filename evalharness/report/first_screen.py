"""Show results in a notebook as the page's first screen does: who may ship in a sentence, and a line a candidate."""

from __future__ import annotations

from typing import Any

from evalharness.analysis.gate import WORST_FIRST, judge_alone
from evalharness.paths import shipped
from evalharness.records.policy import Policy
from evalharness.records.results import Results
from evalharness.report import sentences, wording
from evalharness.report.gate_lines import MARKS, headline
from evalharness.report.page import environment

MOST = 12  # candidates with a line of their own
BASELINE = "This is against the base of the run; the policy looks at the baseline file, too: gate() does."


def first_screen(results: Results) -> str:
    """An HTML fragment of a few kB, in the colours of the notebook around it, with every text escaped."""
    policy = Policy.recorded(results.signature)
    decisions = [judge_alone(results, name, policy) for name in results.candidates]
    decisions.sort(key=lambda decision: WORST_FIRST.index(decision.exit_code), reverse=True)
    views: dict[str, Any] = {
        "sentence": "; ".join(sentences.headline(sentences.ranked(results))),
        "lines": [(MARKS[each.exit_code], wording.shortened(headline(each), 400)) for each in decisions[:MOST]],
        "more": len(decisions) - MOST,
        "failed": len(results.errors),
        "notes": [BASELINE] if policy.looks_at_baseline else [],
        "say": wording,
    }
    return environment(shipped("reports")).get_template("partials/notebook.html.jinja").render(views)
