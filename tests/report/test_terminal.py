"""What the terminal says of a run, in the words of what was found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evalharness.records.answers import AnswerCounts
from evalharness.records.comparison import Comparison, Estimate, MeanDifference, StoppingState, WouldDecide
from evalharness.records.results import ModelRow, Results
from evalharness.report.terminal import model_line, verdict_lines

BASE = ModelRow(
    name="base", kind="base", fingerprint="f0", base=None, parameters=100, trainable=0, trainable_share=0.0, bytes=10
)
TUNED = ModelRow(
    name="tuned",
    kind="lora",
    fingerprint="f1",
    base="base",
    parameters=110,
    trainable=10,
    trainable_share=10 / 110,
    bytes=4,
    target_task="sst2",
    target_gain=Estimate(value=0.1, low=0.05, high=0.15),
    learned_target=True,
)
ROW = Comparison(
    task="boolq", family="superglue", level="task", unit=True, metric="acc", primary=True, candidate="tuned", n=50,
    base=Estimate(value=0.52, low=0.4, high=0.6), candidate_score=Estimate(value=0.5, low=0.4, high=0.6),
    difference=Estimate(value=-0.02, low=-0.1, high=0.1), ci_level=0.9, lost=3, gained=2, p_forgotten=0.4,
    p_forgotten_adjusted=0.4, p_retained=0.6, p_difference=1.0, margin=0.02, verdict="inconclusive",
    flags=("base_at_chance", "truncated"), available=50,
)  # fmt: skip


@pytest.mark.parametrize(
    ("learned", "words"),
    [
        (True, ": learned its target sst2 (+0.100)"),
        (
            False,
            ": did not learn its target sst2 (+0.100): "
            "its gain is within the margin, or its score no better than guessing",
        ),
        (None, ": whether it learned its target sst2 (+0.100) is not shown"),
    ],
)
def test_whether_it_learned(learned: bool | None, words: str) -> None:
    assert model_line(replace(TUNED, learned_target=learned)).endswith(words)


def test_an_unknown_target_is_not_spoken_of() -> None:
    assert "target" not in model_line(replace(TUNED, target_task=None, target_gain=None, learned_target=None))


@pytest.mark.parametrize(
    ("level", "words"), [(0.9, "90 % interval"), (0.98, "98 % interval"), (1 - 2 * 0.005, "99 % interval")]
)
def test_the_intervals_are_titled_by_their_coverage(level: float, words: str) -> None:
    lines = list(
        verdict_lines(Results(signature={}, models=(BASE, TUNED), comparisons=(replace(ROW, ci_level=level),)))
    )
    assert words in lines[2]


def test_there_is_one_minus_sign_and_no_sign_of_zero() -> None:
    row = replace(ROW, metric="mcc", base=Estimate(value=-0.577), candidate_score=Estimate(value=-0.0001))
    below = Estimate(value=-0.001, low=-0.3, high=0.3)
    suite = replace(ROW, task="suite", level="suite", metric="margins", base=None, candidate_score=None)
    rows = (row, replace(suite, difference=below))
    text = "\n".join(verdict_lines(Results(signature={}, models=(BASE, TUNED), comparisons=rows)))
    assert "−0.577" in text and "-0" not in text and " 0.00 margins" in text


@pytest.mark.parametrize(
    ("unable", "words"),
    [
        (0, "general ability: 0.000 (−0.100 … +0.100), the mean over 3 gate units scored from 0 to 1 that it was not "),
        (2, "that it was not trained on, 2 of which the base cannot do (no verdict)"),
        (3, "general ability: not shown, the base cannot do any of 3 gate units scored from 0 to 1"),
    ],
)
def test_general_ability_says_what_the_base_cannot_do(unable: int, words: str) -> None:
    general = MeanDifference(value=0.0, low=-0.1, high=0.1, units=3, unable=unable)
    rows = (ROW, replace(ROW, task="suite", level="suite", general=general))
    text = "\n".join(verdict_lines(Results(signature={}, models=(BASE, TUNED), comparisons=rows)))
    assert words in text and ("ability: 0.000" in text) == (unable < 3)


def test_one_answer_to_all_is_said_below_the_table() -> None:
    counts = AnswerCounts(answers=50, most_common="A", most_common_count=50, most_common_right=26)
    results = Results(signature={}, models=(BASE, TUNED), comparisons=(replace(ROW, base_answers=counts),))
    said = "boolq: the base answers “A” to every row (right in 52 %): this task cannot show what it knew"
    assert said in [line.strip() for line in verdict_lines(results)]


def test_why_a_row_is_inconclusive() -> None:
    (line,) = [
        line
        for line in verdict_lines(Results(signature={}, models=(BASE, TUNED), comparisons=(ROW,)))
        if line.startswith("  boolq  ")
    ]
    assert line.endswith("? inconclusive (base at chance)")


def test_a_large_group_speaks_for_its_tasks_and_the_published_average_stands_below() -> None:
    names = [f"mmlu_{i}" for i in range(9)]
    members = [replace(ROW, task=name, unit=False) for name in names]
    group = replace(ROW, task="mmlu", level="group")
    average = replace(ROW, task="glue", level="suite", metric="glue_score", unit=False, primary=False, verdict=None)
    lines = list(
        verdict_lines(
            Results(signature={"groups": {"mmlu": names}}, models=(BASE, TUNED), comparisons=(*members, group, average))
        )
    )
    assert [line for line in lines if "mmlu" in line][1:] == [
        "  the 9 tasks of mmlu are in the report",
        "  mmlu: no number of examples would show “retained” as long as the base does no better than guessing",
    ]
    assert lines[-2] == "  glue_score: base 0.520, candidate 0.500, difference −0.020 (published average; no verdict)"


def test_families_parts_of_gate_units_and_general_ability_describe() -> None:
    suite = replace(
        ROW,
        task="demo",
        level="suite",
        metric="margins",
        difference=Estimate(value=-1.1, low=-1.4, high=-0.8),
        base=None,
        candidate_score=None,
        median=-0.2,
        retention=Estimate(value=0.95),
        flags=("no_target",),
        would_decide=WouldDecide(verdict="forgotten", assumption="as_seen", examples=900, power=0.8, there=False),
        general=MeanDifference(value=-0.01, low=-0.02, high=0.001, units=12),
    )
    family = replace(
        ROW, task="glue", level="family", metric="margins", unit=False, primary=False, verdict=None, flags=()
    )
    part = replace(ROW, unit=False, adjustment="Benjamini-Hochberg")
    parts = [replace(part, task=f"m{i}", q_forgotten=q, q_difference=q / 2) for i, q in enumerate((0.01, 0.09))]
    lines = list(
        verdict_lines(
            Results(signature={"alpha": 0.05}, models=(BASE, TUNED), comparisons=(*parts, family, ROW, suite))
        )
    )
    names = [line.split()[0] for line in lines[3:8]]
    assert (
        names == ["demo", "glue", "m0", "m1", "boolq"] and "glue (family)" in lines[4] and "describes" not in lines[4]
    )
    assert lines[3].endswith("–  −1.10 margins    −1.40 … −0.80     3       2  ? inconclusive, leans forgotten")
    assert lines[8] == (
        "  over demo, beside the verdict: median unit −0.20 margins, 95 % of the skill kept, "
        "no target is declared, so every gate unit counts"
    )
    assert lines[9] == (
        "  of 2 tasks within gate units 1 fell by more than the margin, 2 differ from the base at "
        "q ≤ 0.05 (Benjamini-Hochberg; they decide nothing)"
    )
    assert lines[10] == (
        "  general ability: −0.010 (−0.020 … +0.001), the mean over 12 gate units scored from 0 to 1 (no verdict)"
    )
    assert lines[11:] == [
        "  demo: about 900 examples over all gate units would show “forgotten” with probability 0.8 if the loss is "
        "what was seen; the set has 50: this loss cannot be shown here",
        "  m0, m1 and boolq: no number of examples would show “retained” as long as the base does no better than "
        "guessing",
    ]


def test_what_was_stopped_early_shows_how_far_it_was_asked() -> None:
    stopped = replace(
        ROW,
        verdict="forgotten",
        flags=("stopped_early",),
        stopping=StoppingState(asked=50, planned=400, rounds=3, of=20, stopped=True),
    )
    suite = replace(
        ROW,
        task="demo",
        level="suite",
        metric="margins",
        flags=("suite_not_tested",),
        stopping=StoppingState(asked=50, planned=400, rounds=3, of=20, stopped=True),
    )
    lines = list(verdict_lines(Results(signature={}, models=(BASE, TUNED), comparisons=(stopped, suite))))
    assert any("50 of 400" in line and "▼ forgotten" in line for line in lines)
    assert any(line.endswith("? inconclusive (suite not tested)") for line in lines)
    assert lines[-1] == "tuned: 1 of 1 gate unit stopped early; 50 of 400 units were asked (12 %)"


def test_what_was_not_measured_is_a_dash() -> None:
    suite = replace(ROW, task="demo", level="suite", metric="margins", base=None, candidate_score=None, flags=())
    nothing = replace(
        ROW, n=0, base=None, candidate_score=None, difference=None, lost=None, gained=None, p_forgotten=None,
        p_forgotten_adjusted=None, p_retained=None, p_difference=None,
    )  # fmt: skip
    lines = list(verdict_lines(Results(signature={}, models=(BASE, TUNED), comparisons=(nothing, suite))))
    rows = {line.split()[0]: line.split() for line in lines if line.startswith("  ") and ":" not in line}
    assert rows["demo"][2:] == [
        "50", "–", "–", "−0.02", "margins", "−0.10", "…", "+0.10", "3", "2", "?", "inconclusive"
    ]  # fmt: skip
    assert rows["boolq"][1:] == ["0", *["–"] * 6, "?", "inconclusive", "(base", "at", "chance)"]
