"""What is said of a forecast: advice, the gate and the work."""

from __future__ import annotations

import json
import re
from dataclasses import replace

from evalharness.experiments.cost import TaskCost
from evalharness.experiments.forecast import Forecast, ForecastRow
from evalharness.experiments.forecast_text import advice, ceiled, document, lines
from evalharness.stats.forecast import WHY
from evalharness.stats.gate_forecast import GateOdds, OddsAtLoss

ROW = ForecastRow(
    name="rte", level="task", family="glue", metric="acc", kind="binary", available=277, units=277, examples=277,
    effective=277.0, margin=0.02, how="assumed", flips=0.1, base=None, base_needed=0.6, largest_margin=0.1,
    reason=None, certifiable=0.0487, detectable=0.0824, needed=1565, retained=0.27, forgotten=0.0001,
    expected="inconclusive",
)  # fmt: skip
LOSING = tuple(
    OddsAtLoss(margins=margins, passes=passes, fails=fails, undecided=1 - passes - fails, found=fails, draws=300)
    for margins, passes, fails in ((1.0, 0.3, 0.01), (2.0, 0.1, 0.2), (3.0, 0.0, 0.7))
)
ODDS = GateOdds(
    passes=0.35, fails=0.0, undecided=0.65, all_retained=0.02, suspects=0.05, certifiable=1.31, draws=300, losing=LOSING
)


def told(*rows: ForecastRow, **about: object) -> Forecast:
    unknown = tuple(row.name for row in rows if row.how == "unknown")
    found = Forecast(
        suite="glue",
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

    assert said() == (
        "rte: 277 units, all there are, certify 0.049, not 0.02: "
        "state --margin rte=0.049 (if losing that is acceptable) or pool"
    )
    assert "277 units certify 0.049, not 0.02: raise --limit to 1565, or state" in said(available=3000)
    assert said(retained=0.85) == ""
    assert "above 0.04 is large against the base's skill: pool" in said(largest_margin=0.04)
    assert "certify no margin at all" in said(certifiable=None)
    assert "at the edge" in said(certifiable=0.019)
    assert "8 units decide nothing" in said(units=8, reason=WHY["few_units"])
    at_chance = said(base=0.51, reason=WHY["base_at_chance"])
    assert "the base does not do it (0.510): it can fall further and be forgotten, never be retained" in at_chance
    large = said(reason=WHY["margin_exceeds_skill"])
    assert "more than 20% of what any base has over chance (0.1 would be the most)" in large
    assert "rougeL has no finite range" in said(metric="rougeL", reason=WHY["no_range"])
    unknown = said(how="unknown", metric="rougeL", certifiable=None, detectable=None, needed=None, retained=None)
    assert (
        unknown == "not known without an earlier run (--from RUN), because these metrics are no counts of right "
        "answers: rte (rougeL)"
    )


def test_what_is_said_of_several_units_is_said_once() -> None:
    both = list(advice(told(ROW, replace(ROW, name="wnli"), replace(ROW, name="cb", units=8, reason=WHY["few_units"]))))
    assert len(both) == 2 and both[0].startswith("rte, wnli: 277 units") and "--margin TASK=0.049" in both[0]


def test_what_the_lines_say_of_the_gate_and_of_the_work() -> None:
    text = "\n".join(lines(told(ROW)))
    table = text[text.index("gate, ") :].splitlines()
    cells = [re.split(r"  +", line.strip()) for line in table[1:6]]
    assert cells[0] == ["if", "passes (exit 0)", "undecided (4)", "fails (3)", "that unit found"]
    assert cells[1] == ["nothing is lost", "35.0% ± 2.8%", "65.0% ± 2.8%", "below 1.0%", "–"]
    assert [line[0] for line in cells[2:]] == [f"one unit loses {n}" for n in ("1 margin", "2 margins", "3 margins")]
    assert cells[4][1:] == ["below 1.0%", "30.0% ± 2.6%", "70.0% ± 2.6%", "70.0% ± 2.6%"]
    assert "some unit suspect 5.0% ± 1.3%; every single unit retained 2.0% ± 0.8%" in text
    assert (
        "the suite excludes a mean loss of 1.3 margins with probability 0.8 if nothing is lost, and must exclude 1"
        in text
    )
    assert "too near chance for their margins" in "\n".join(lines(told(ROW, gate=replace(ODDS, certifiable=None))))
    few = replace(ODDS, certifiable=None, too_few=True)
    assert "the suite excludes no loss: its units have too few rows" in "\n".join(lines(told(ROW, gate=few)))
    assert json.loads(document(told(ROW)))["gate"]["losing"][2]["found"] == 0.7
    work = (
        TaskCost(task="rte", requests=10, prompt_tokens=2000, answer_tokens=40, written=False, seconds=2.0),
        TaskCost(task="xsum", requests=5, prompt_tokens=5000, answer_tokens=640, written=True, seconds=120.0),
    )
    text = "\n".join(lines(told(ROW, work=work, loading=3.0, gate=None, earlier="runs/a#lora")))
    assert "gate: not known" in text and "known from runs/a#lora; where it says nothing" in text
    assert "≤ 640" in text and "2 min" in text and "base and one candidate together about 4 min" in text
    assert "time" not in "\n".join(lines(told(ROW, work=work)))


def test_no_base_is_asked_for_that_no_metric_can_give() -> None:
    def base(**changes: object) -> str:
        text = "\n".join(lines(told(replace(ROW, **changes))))  # type: ignore[arg-type]
        return re.split(r"  +", next(line for line in text.splitlines() if line.startswith("  rte ")).strip())[6]

    assert base() == "from 0.6"
    assert base(base_needed=None, margin=1.0) == "none"
    assert base(base_needed=None, largest_margin=None) == "–"


def test_rounding_up_keeps_two_digits() -> None:
    assert [ceiled(value) for value in (0.0487, 0.05, 2.86, 0.00598, 0.999)] == [0.049, 0.05, 2.9, 0.006, 1.0]
