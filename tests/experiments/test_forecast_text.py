"""What is said of a forecast: advice, the gate and the work."""

from __future__ import annotations

from dataclasses import replace

from evalharness.experiments.cost import TaskCost
from evalharness.experiments.forecast import Forecast, ForecastRow
from evalharness.experiments.forecast_text import advice, ceiled, lines
from evalharness.stats.forecast import WHY
from evalharness.stats.gate_forecast import GateOdds

ROW = ForecastRow(
    name="rte", level="task", family="glue", metric="acc", kind="binary", available=277, units=277, examples=277,
    effective=277.0, margin=0.02, how="assumed", flips=0.1, base=None, base_needed=0.6, largest_margin=0.1,
    reason=None, certifiable=0.0487, detectable=0.0824, needed=1565, retained=0.27, forgotten=0.0001,
    expected="inconclusive",
)  # fmt: skip
ODDS = GateOdds(passes=0.35, fails=0.0, undecided=0.65, all_retained=0.02, certifiable=0.031, draws=300)


def told(*rows: ForecastRow, **about: object) -> Forecast:
    unknown = tuple(row.name for row in rows if row.how == "unknown")
    found = Forecast(
        suite="glue",
        suite_margin=0.02,
        alpha=0.05,
        power=0.8,
        tests=len(rows),
        flips=0.1,
        skill=0.5,
        earlier=None,
        rows=rows,
        describing=(),
        gate=ODDS,
        gate_over=tuple(row.name for row in rows),
        without=unknown,
    )
    return replace(found, **about)  # type: ignore[arg-type]


def test_advice_is_one_sentence_a_unit_that_is_too_small() -> None:
    def said(**changes: object) -> str:
        return " ".join(advice(told(replace(ROW, **changes))))  # type: ignore[arg-type]

    assert (
        said()
        == "rte: 277 units certify 0.049, not 0.02: state --margin rte=0.049 (if losing that is acceptable) or pool"
    )
    assert "raise --limit to 1565, or state" in said(available=3000)
    assert said(retained=0.85) == ""
    assert "above 0.04 is large against the base's skill: pool" in said(largest_margin=0.04)
    assert "certify no margin at all" in said(certifiable=None)
    assert "at the edge" in said(certifiable=0.019)
    assert "8 units decide nothing" in said(units=8, reason=WHY["few_units"])
    assert "knows nothing to forget (0.510)" in said(base=0.51, reason=WHY["base_at_chance"])
    assert "20% of the skill of any base (0.1 would be the most)" in said(reason=WHY["margin_exceeds_skill"])
    unknown = said(how="unknown", metric="rougeL", certifiable=None, detectable=None, needed=None, retained=None)
    assert (
        unknown == "not known without an earlier run (--from RUN), because these metrics are no counts of right "
        "answers: rte (rougeL)"
    )


def test_what_the_lines_say_of_the_gate_and_of_the_work() -> None:
    text = "\n".join(lines(told(ROW)))
    assert "35.0% ± 2.8%  passes" in text and "below 1.0%  fails, wrongly" in text
    assert "the suite certifies 0.031 of skill, not 0.02: state --margin glue=0.031" in text
    work = (
        TaskCost(task="rte", requests=10, prompt_tokens=2000, answer_tokens=40, written=False, seconds=2.0),
        TaskCost(task="xsum", requests=5, prompt_tokens=5000, answer_tokens=640, written=True, seconds=120.0),
    )
    text = "\n".join(lines(told(ROW, work=work, loading=3.0, gate=None, earlier="runs/a#lora")))
    assert "gate: not known" in text and "known from runs/a#lora; where it says nothing" in text
    assert "≤ 640" in text and "2 min" in text and "base and one candidate together about 4 min" in text
    assert "time" not in "\n".join(lines(told(ROW, work=work)))


def test_rounding_up_keeps_two_digits() -> None:
    assert [ceiled(value) for value in (0.0487, 0.05, 2.86, 0.00598, 0.999)] == [0.049, 0.05, 2.9, 0.006, 1.0]
