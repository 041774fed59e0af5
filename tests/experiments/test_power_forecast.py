"""A job without candidates to what its comparison could decide: units and designs, and what is foretold against what
comparisons then say.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from measured_runs import measured_run

from evalharness.analysis.comparison import compare
from evalharness.analysis.gate import judge
from evalharness.engines.hf.factory import FACTORY
from evalharness.errors import UsageError
from evalharness.experiments import power_forecast as module
from evalharness.experiments.forecast import Forecast, ForecastRow
from evalharness.experiments.forecast_units import read_earlier
from evalharness.experiments.jobs import ForecastJob
from evalharness.experiments.power_forecast import NO_MODEL, forecast
from evalharness.records.compare_plan import ComparePlan
from evalharness.records.job_options import make_job
from evalharness.records.measurements import Measurement, TaskFacts
from evalharness.records.policy import Policy
from evalharness.records.results import Results
from evalharness.results import write_measurements
from evalharness.run.facts import facts_before
from evalharness.run.measured_run import compare_plan
from evalharness.run.plan import plan_without_candidates
from evalharness.tasks.prepare import PromptSettings, prepare

CHOICE = """
task: {name}
dataset_path: local/{name}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{text}}}} ?"
doc_to_choice: ["no", "yes"]
doc_to_target: label
metric_list: [{{metric: acc}}]
metadata: {{version: 1.0, family: other, chance: 0.5, primary: acc, margin: {margin}, lm_eval: no{more}}}
"""
TOLD = """
task: told
dataset_path: local/told
test_split: test
output_type: generate_until
doc_to_text: "{{text}} :"
doc_to_target: "{{text}}"
generation_kwargs: {until: ["\\n"], max_gen_toks: 6}
metric_list: [{metric: rougeL}]
metadata: {version: 1.0, family: other, chance: 0.0, primary: rougeL, margin: 0.02, lm_eval: no}
"""
GROUP = """
group: pair
task: [left, right]
aggregate_metric_list: [{metric: acc}]
metadata: {version: 1.0, family: other, unit: true, margin: 0.03}
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Choices (200), texts to be written (120), passages of four questions (60), two small ones that are pooled (8
    each).
    """
    root = tmp_path_factory.mktemp("plan")
    (root / "tasks").mkdir()
    sizes = {"choice": 200, "told": 120, "passage": 240, "left": 8, "right": 8}
    for name, n in sizes.items():
        more = ', unit: "{{group}}"' if name == "passage" else ""
        text = TOLD if name == "told" else CHOICE.format(name=name, margin=0.05, more=more)
        (root / "tasks" / f"{name}.yaml").write_text(text)
        folder = root / "data" / "local" / name / "default"
        folder.mkdir(parents=True)
        rows = [{"text": f"{name} {i}", "label": i % 2, "group": f"p{i // 4}"} for i in range(n)]
        (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (root / "tasks" / "_pair.yaml").write_text(GROUP)
    return root


@pytest.fixture(autouse=True)
def few_draws(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    draws = 100 if "then_say" in request.node.name else 20
    for name in ("DRAWS", "FEWEST"):
        monkeypatch.setattr(module, name, draws)


@pytest.fixture
def asked(world: Path, tmp_path: Path) -> Callable[..., ForecastJob]:
    def ask(
        *tasks: str,
        power: float = 0.8,
        flips: float = 0.4,
        skill: float = 0.5,
        earlier: str | None = None,
        probe: int = 0,
        **job: Any,
    ) -> ForecastJob:
        places: dict[str, Any] = {"include": (world / "tasks",), "data_dir": world / "data"}
        return ForecastJob(
            job=make_job(models=(), out=tmp_path, store=tmp_path / "store", tasks=tasks, **{**places, **job}),
            power=power,
            flips=flips,
            skill=skill,
            earlier=earlier,
            probe=probe,
        )

    return ask


def by_name(found: Forecast) -> Mapping[str, ForecastRow]:
    return {row.name: row for row in found.rows}


def facts_and_plan(asked: ForecastJob) -> tuple[list[TaskFacts], ComparePlan]:
    run_plan = plan_without_candidates(asked.job, NO_MODEL)
    prepared = [prepare(task, run_plan.source, PromptSettings(limit=asked.job.tasks.limit)) for task in run_plan.tasks]
    return facts_before(prepared), replace(compare_plan(asked.job, run_plan, prepared), candidates=("lora",))


def drawn(fact: TaskFacts, n: int, rng: np.random.Generator, drop: float = 0.0) -> list[Measurement]:
    """Base and candidate: right answers, of which a tenth changes either way alike, or graded scores, of which half
    does.
    """
    base = (rng.random(n) < 0.92).astype(float) if fact.primary == "acc" else rng.beta(6, 3, n)
    if fact.primary == "acc":
        moves = rng.random(n) < np.where(base > 0, 0.05 / 0.92, 0.05 / 0.08)
        other = np.where(moves, 1 - base, base)
    else:
        other = np.clip(np.where(rng.random(n) < 0.5, base + rng.choice([-1, 1], n) * 0.15, base), 0, 1)
    units = tuple(f"{i}" for i in range(n))
    rows = [np.column_stack([values, np.ones(n)]) for values in (base, np.where(rng.random(n) < drop, 0.0, other))]
    return [
        Measurement(task=fact.name, metric=fact.primary, model=model, units=units, sizes=(1,) * n, rows=of)
        for model, of in zip(("base", "lora"), rows, strict=True)
    ]


def leave_run(out: Path, facts: list[TaskFacts], measurements: list[Measurement], plan: ComparePlan) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    write_measurements(out, measured_run(facts, measurements, plan))
    return out


# ---- units and designs


def test_units_are_those_of_the_gate(asked: Callable[..., ForecastJob]) -> None:
    found = forecast(asked("choice", "told", "pair", limit=150, margins={"choice": 0.08}))
    rows = by_name(found)
    assert list(rows) == ["choice", "told", "pair"] and found.tests == 3 and found.suite == "suite"
    choice, told, pair = rows.values()
    assert (choice.units, choice.available, choice.margin, choice.how, choice.flips, choice.base) == (
        150,
        200,
        0.08,
        "assumed",
        0.4,
        None,
    )
    assert choice.base_needed == pytest.approx(0.9) and choice.largest_margin == pytest.approx(0.1)
    assert (told.units, told.how, told.retained, told.certifiable, told.expected) == (
        120,
        "unknown",
        None,
        None,
        "unknown",
    )
    assert (pair.level, pair.units, pair.margin, pair.reason) == ("group", 16, 0.03, None)
    (unreachable,) = forecast(asked("choice", margins={"choice": 0.99})).rows
    assert unreachable.base_needed is None and unreachable.reason and "20%" in unreachable.reason
    assert found.without == ("told",) and found.gate_over == ("choice", "pair") and found.gate is not None


def test_a_graded_metric_gets_no_made_up_number(asked: Callable[..., ForecastJob]) -> None:
    found = forecast(asked("told"))
    assert found.gate is None and found.gate_over == () and found.rows[0].detectable is None


def test_questions_of_one_passage_are_worth_less_than_so_many(asked: Callable[..., ForecastJob]) -> None:
    row = forecast(asked("passage")).rows[0]
    assert (row.units, row.examples, row.available, row.effective) == (
        60,
        240,
        60,
        60.0,
    )  # unknown dependence is taken to be complete


def test_what_can_only_be_inconclusive_is_so_whatever_is_drawn(asked: Callable[..., ForecastJob]) -> None:
    large, few = forecast(asked("choice", "left", margins={"choice": 0.11})).rows
    assert large.reason and "20%" in large.reason and large.retained == 0.0 and large.expected == "inconclusive"
    assert few.reason == "fewer than 10 units" and few.units == 8 and few.expected == "inconclusive"


def test_the_same_question_has_the_same_answer(asked: Callable[..., ForecastJob]) -> None:
    assert forecast(asked("choice")) == forecast(asked("choice"))


# ---- an earlier run


def test_an_earlier_run_says_how_answers_change(asked: Callable[..., ForecastJob], tmp_path: Path) -> None:
    facts, plan = facts_and_plan(asked("choice", "told"))
    rng = np.random.default_rng(1)
    first = [m for fact in facts for m in drawn(fact, fact.available, rng)]
    calm = [replace(m, model="calm") for m in first if m.model == "base"]
    run = leave_run(tmp_path / "run", facts, [*first, *calm], replace(plan, candidates=("calm", "lora")))
    assert read_earlier(str(run)).candidate == "lora" and read_earlier(f"{run}#calm").candidate == "calm"
    found = forecast(asked("choice", "told", earlier=str(run)))
    choice, told = found.rows
    changed = float((first[0].rows != first[1].rows).any(axis=1).mean())
    assert (
        choice.how == "known"
        and choice.flips == pytest.approx(changed)
        and choice.base == pytest.approx(first[0].rows[:, 0].mean())
    )
    assert (
        told.how == "simulated"
        and told.draws == 20
        and told.certifiable
        and told.retained is not None
        and found.gate_over == ("choice", "told")
    )


def test_the_design_effect_is_known_from_an_earlier_run(asked: Callable[..., ForecastJob], tmp_path: Path) -> None:
    facts, plan = facts_and_plan(asked("passage"))
    units, sizes, rng = tuple(f"p{i}" for i in range(60)), (4,) * 60, np.random.default_rng(1)
    base = np.full(60, 3.0)
    other = base + rng.choice([-1.0, 0.0, 1.0], 60)
    rows = [np.column_stack([values, np.full(60, 4.0)]) for values in (base, other)]
    found = [
        Measurement(task="passage", metric="acc", model=model, units=units, sizes=sizes, rows=of)
        for model, of in zip(("base", "lora"), rows, strict=True)
    ]
    row = forecast(asked("passage", earlier=str(leave_run(tmp_path / "run", facts, found, plan)))).rows[0]
    assert (
        row.how == "known"
        and 200 < row.effective <= 240
        and row.draws == 20
        and row.units == 60
        and 0.1 < (row.flips or 0) < 0.25
    )
    assert row.needed and row.needed < 1000  # passages, not questions


def test_a_base_at_chance_in_the_earlier_run_decides_nothing(asked: Callable[..., ForecastJob], tmp_path: Path) -> None:
    facts, plan = facts_and_plan(asked("choice"))
    base, other = drawn(facts[0], 200, np.random.default_rng(1))
    base.rows[:, 0] = other.rows[:, 0] = np.arange(200) % 2
    other.rows[:90, 0] = 1
    run = leave_run(tmp_path / "run", facts, [base, other], plan)
    row = forecast(asked("choice", earlier=str(run))).rows[0]
    assert row.reason == "the base is at chance" and row.expected == "inconclusive" and row.retained == 0.0


def test_runs_that_cannot_say_are_refused(asked: Callable[..., ForecastJob], tmp_path: Path) -> None:
    facts, plan = facts_and_plan(asked("choice"))
    run = leave_run(tmp_path / "run", facts, drawn(facts[0], 200, np.random.default_rng(1)), plan)
    with pytest.raises(UsageError, match="no candidate 'lola'"):
        forecast(asked("choice", earlier=f"{run}#lola"))
    with pytest.raises(UsageError, match="no measurements here"):
        forecast(asked("choice", earlier=str(tmp_path / "nowhere")))
    alone = leave_run(tmp_path / "alone", facts, [], replace(plan, candidates=()))
    with pytest.raises(UsageError, match="no candidate with its base"):
        forecast(asked("choice", earlier=str(alone)))


@pytest.mark.slow
def test_what_is_foretold_is_what_comparisons_and_the_gate_then_say(
    asked: Callable[..., ForecastJob], tmp_path: Path
) -> None:
    """An earlier run on few units foretells; runs drawn afresh from the same world are compared and judged."""
    options: dict[str, Any] = {"margins": {"choice": 0.06, "told": 0.025}}
    facts, plan = facts_and_plan(asked("choice", "told", **options))
    rng, times = np.random.default_rng(7), 30
    run = leave_run(tmp_path / "run", facts, [m for fact in facts for m in drawn(fact, 1500, rng)], plan)
    found = forecast(asked("choice", "told", earlier=str(run), **options))
    assert found.gate is not None and 0.1 < found.gate.passes < 0.98
    counts = {"choice": 0, "told": 0, "passes": 0, "fails": 0}
    for _ in range(times):
        rows = compare(facts, [m for fact in facts for m in drawn(fact, fact.available, rng)], plan)
        for row in rows:
            counts[row.task] = counts.get(row.task, 0) + (row.verdict == "retained")
        code = judge(Results(signature={}, models=(), comparisons=rows), Policy()).exit_code
        counts["passes"], counts["fails"] = counts["passes"] + (code == 0), counts["fails"] + (code == 3)
    told = {"passes": found.gate.passes, "fails": found.gate.fails} | {
        row.name: row.retained or 0.0 for row in found.rows
    }
    for what, share in told.items():
        spread = max(share * (1 - share), 0.02)
        assert abs(counts[what] / times - share) < 4 * math.sqrt(spread / times + spread / 100), (
            what,
            counts[what] / times,
            share,
        )


# ---- cost


def test_tokens_and_time_of_a_probe(
    asked: Callable[..., ForecastJob], zoo: dict[str, Path], small_world: Path, tiny: ModuleType
) -> None:
    places: dict[str, Any] = {"include": (small_world / "tasks",), "data_dir": small_world / "data", "limit": 12}
    found = forecast(asked("yes_no", "echo", base=str(zoo["llama"]), probe=3, **places))
    yes_no, echo = found.work
    assert (yes_no.requests, yes_no.written, echo.written, echo.answer_tokens) == (12, False, True, 12 * 6)
    assert yes_no.seconds and echo.seconds and found.loading
    counted = forecast(asked("yes_no", base=str(zoo["llama"]), **places)).work[0]
    assert counted.seconds is None and counted.prompt_tokens == yes_no.prompt_tokens
    run_plan = plan_without_candidates(asked("yes_no", **places).job, NO_MODEL)
    of_task = prepare(run_plan.tasks[0], run_plan.source, PromptSettings(limit=12))
    count = FACTORY.token_counter(replace(NO_MODEL, path=zoo["llama"]))
    assert yes_no.prompt_tokens == sum(count(request.pairs[0][0]) for request in of_task.requests)  # type: ignore[union-attr]


def test_a_probe_needs_a_model_and_shares_are_shares(asked: Callable[..., ForecastJob]) -> None:
    with pytest.raises(UsageError, match="--probe: there is no model"):
        asked("choice", probe=3)
    for wrong in ({"power": 1.0}, {"flips": 0.0}, {"skill": 1.5}):
        with pytest.raises(UsageError, match="is not a share"):
            asked("choice", **wrong)
