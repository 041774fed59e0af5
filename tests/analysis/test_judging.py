"""What measurements say at the gate, with the right value of each: a base at chance, one task, nothing changed, nothing
measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from measured_runs import ACC, measured, measured_run, task

from evalharness.analysis.analyse import analyse
from evalharness.analysis.gate import Decision, judge
from evalharness.records.policy import Policy
from evalharness.stats.enums import RULE, Verdict

Answers = Mapping[str, tuple[np.ndarray, np.ndarray]]  # task -> what base and candidate got right


def decided(answers: Answers) -> Decision:
    both = ((name, model, i) for name in answers for i, model in enumerate(("base", "c")))
    rows = [measured(name, model, answers[name][i]) for name, model, i in both]
    results = analyse(measured_run([task(name) for name in answers], rows))
    assert results.verdict_rule == RULE
    return judge(results, Policy())


def right(share: float, n: int = 1000) -> np.ndarray:
    """So large a share of n right answers, spread evenly."""
    return (np.arange(n) * 0.618034 % 1 < share).astype(float)


def changed(base: np.ndarray, lost: int, gained: int = 0) -> np.ndarray:
    """The same answers, so many of them lost and gained."""
    other = base.copy()
    other[np.flatnonzero(base == 1)[:lost]] = 0.0
    other[np.flatnonzero(base == 0)[:gained]] = 1.0
    return other


def test_falling_from_guessing_to_nothing_is_forgotten() -> None:
    """.248 of four choices to .000 on 1,000 rows, beside tasks that stayed."""
    strong, guessed = right(0.8), right(0.248)
    decision = decided({"guessed": (guessed, np.zeros(1000)), "kept": (strong, strong), "stayed": (strong, strong)})
    assert decision.exit_code == 3
    assert decision.reasons[0].startswith("forgotten: c on guessed: acc −0.24")


def test_a_suite_of_guesses_never_passes() -> None:
    """Nothing changed, and nothing is certified: no unit has skill."""
    guessed = right(0.25)
    decision = decided({f"t{i}": (guessed, guessed) for i in range(15)})
    assert decision.exit_code == 4
    (reason,) = decision.reasons
    assert "none of its 15 gate units is retained" in reason
    assert reason.endswith("in its units' mean the base is less than 5 margins above chance")


@pytest.mark.parametrize(("lost", "code"), [(0, 0), (22, 4), (60, 3)])
def test_a_suite_of_one_task_says_what_the_task_says(lost: int, code: int) -> None:
    base = right(0.8)
    answers = {"one": (base, changed(base, lost))}
    rows = [measured("one", model, values) for model, values in zip(("base", "c"), answers["one"], strict=True)]
    results = analyse(measured_run([task("one")], rows))
    own, suite = results.comparisons
    assert (own.verdict, own.p_forgotten, own.p_retained) == (suite.verdict, suite.p_forgotten, suite.p_retained)
    assert own.verdict == {0: Verdict.RETAINED, 22: Verdict.INCONCLUSIVE, 60: Verdict.FORGOTTEN}[lost]
    assert decided(answers).exit_code == code


def test_one_suspect_task_among_many_that_stayed_does_not_pass() -> None:
    """A loss of 5 points of 500 rows, the margin being 2: the suite is retained all the same."""
    base = right(0.8, 500)
    answers = {f"t{i}": (base, base) for i in range(14)} | {"lost": (base, changed(base, 35, 10))}
    decision = decided(answers)
    assert decision.exit_code == 4
    assert [line.split(":")[0] for line in decision.reasons] == ["suspect"] and " on lost: " in decision.reasons[0]
    passed = decided({**answers, "lost": (base, base)})
    assert passed.exit_code == 0 and "0 of 15 are" in passed.remarks[-1]


def test_one_large_gain_does_not_pay_for_losses() -> None:
    """14 tasks lose 2.5 points (margin 2), the 15th gains 50."""
    base, weak = right(0.8, 500), right(0.3, 500)
    answers = {f"t{i}": (base, changed(base, 31, 19)) for i in range(14)} | {"gain": (weak, changed(weak, 0, 250))}
    assert decided(answers).exit_code in (3, 4)


def test_a_unit_that_was_not_measured_concludes_nothing() -> None:
    """Whatever else is kept, and what is forgotten is named first."""
    base, nothing = right(0.8), np.zeros(0)
    decision = decided({"kept": (base, base), "lost": (base, changed(base, 300)), "gone": (nothing, nothing)})
    assert decision.exit_code == 5
    assert decision.reasons[0].startswith("forgotten: c on lost")
    assert "incomplete: nothing was measured of c on gone" in decision.reasons


def test_where_less_is_better_a_loss_is_a_loss() -> None:
    """A word error rate of .10 becomes .60 on every row."""
    wer = replace(ACC, id="wer", name="wer", kind="graded", higher_is_better=False)
    facts = [task("read", wer, chance=None), task("kept")]
    base = right(0.8)
    rows = [measured("read", "base", np.full(1000, 0.1), "wer"), measured("read", "c", np.full(1000, 0.6), "wer")]
    rows += [measured("kept", "base", base), measured("kept", "c", base)]
    results = analyse(measured_run(facts, rows))
    assert judge(results, Policy()).exit_code == 3
    assert not results.comparisons[0].points and results.comparisons[1].points
