"""`compare --by-size`: runs of bases of several sizes side by side, each candidate against its own base."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from command_line import exit_code
from measured_runs import answers, measured, measured_run, task

from evalharness import api
from evalharness.errors import NotComparableError, UsageError
from evalharness.records.compare_plan import ComparePlan
from evalharness.records.measured_run import MeasuredRun
from evalharness.records.measurements import ExampleError
from evalharness.records.results import ModelRow
from evalharness.results import write_measurements

Change = Callable[[MeasuredRun], MeasuredRun]
Make = Callable[..., Path]
TARGET = ("--target", "topics")
SETTLED = {
    "alpha": 0.05,
    "policy": None,
    "suite": None,
    "engine": {"name": "drawn", "fingerprint": "drawn"},
    "tasks": {"old": {"definition": "old"}, "topics": {"definition": "topics"}},
}


def model(name: str, kind: str, parameters: int, trainable: int) -> ModelRow:
    return ModelRow(
        name=name,
        kind=kind,
        fingerprint=f"{name} of {parameters}",
        base=None if kind == "base" else "base",
        parameters=parameters,
        trainable=trainable,
        trainable_share=trainable / parameters if parameters else 0.0,
        bytes=1,
    )


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A run of a base of so many parameters, with a LoRA and a soft prompt that lost so many answers of an old task;
    `change`: what is other about it.
    """

    def run(name: str, parameters: int, lost: tuple[int, int], change: Change | None = None) -> Path:
        rows = {"base": answers(400, 300)[0]}
        rows |= {each: answers(400, 300, lost=n)[1] for each, n in zip("ab", lost, strict=True)}
        gains = {"base": 100, "a": 300, "b": 101}
        measurements = [measured("old", each, values) for each, values in rows.items()]
        measurements += [measured("topics", each, answers(400, right)[0]) for each, right in gains.items()]
        models = (
            model("base", "base", parameters, 0),
            model("a", "lora", parameters, 6144),
            model("b", "prompt", parameters, 240),
        )
        plan = ComparePlan(base="base", candidates=("a", "b"))
        facts = [task("old"), task("topics")]
        made = measured_run(facts, measurements, plan, models=models, signature={**SETTLED, "base": "base"})
        (tmp_path / name).mkdir()
        write_measurements(tmp_path / name, change(made) if change else made)
        return tmp_path / name

    return run


@pytest.fixture
def three(make: Make) -> list[Path]:
    """Of three bases; the larger, the less the LoRA lost."""
    return [make("S", 10**6, (80, 200)), make("M", 10**7, (30, 200)), make("L", 10**9, (0, 200))]


def document(out: Path) -> Any:
    return json.loads((out / "sizes.json").read_text())


def test_each_candidate_stands_beside_its_own_base_as_its_run_found_it(three: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    before = [sorted(run.iterdir()) for run in three]
    assert exit_code("compare", "--by-size", three[2], three[0], three[1], *TARGET, "--out", out) == 0
    bases = document(out)["bases"]
    assert [(base["parameters"], base["runs"]) for base in bases] == [(10**6, ["S"]), (10**7, ["M"]), (10**9, ["L"])]
    for run, base in zip(three, bases, strict=True):
        alone = api.compare(str(run), target="topics").record
        suites = {row.candidate: row for row in alone.comparisons if row.level == "suite" and row.primary}
        for each, model in zip(base["candidates"], alone.models[1:], strict=True):
            suite = suites[each["name"]].difference
            assert suite is not None and model.target_gain is not None
            assert each["outcome"]["suite"] == {"value": suite.value, "low": suite.low, "high": suite.high}
            assert each["outcome"]["gain"]["value"] == model.target_gain.value
            assert (each["method"], each["series"], each["trainable"]) == (model.kind, model.kind, model.trainable)
    stands = [[each["standing"] for each in base["candidates"]] for base in bases]
    assert stands[0][0] == "may not ship" and stands[2] == ["may ship", "may not ship"]
    assert [sorted(run.iterdir()) for run in three] == before


def test_the_page_has_a_table_and_a_figure_with_a_line_a_method(three: list[Path], tmp_path: Path) -> None:
    assert exit_code("compare", "--by-size", *three, *TARGET, "--out", tmp_path / "out") == 0
    page = (tmp_path / "out" / "sizes.html").read_text()
    figure = ElementTree.fromstring(re.findall(r"<svg.*?</svg>", page, re.S)[0])
    marks = {
        element.get("id", "") for element in figure.iter() if re.match("sizes-(gain|suite)-", element.get("id", ""))
    }
    assert marks == {
        f"sizes-{what}-{series}-{base}" for what in ("gain", "suite") for series in (0, 1) for base in range(3)
    }
    assert re.findall(r'<th scope="row">(.*?)</th>', page) == [
        f"{size} (base)" for size in ("1 M", "10 M", "1 B") for _ in range(2)
    ]
    assert "<script" not in page and "src=" not in page and "href=" not in page.replace("xlink:href", "")


def test_the_terminal_has_the_table_and_json_the_document(
    three: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("compare", "--by-size", *three, *TARGET, "--json", "--out", tmp_path / "out") == 0
    assert json.loads(capsys.readouterr().out) == document(tmp_path / "out")
    assert exit_code("compare", "--by-size", *three, *TARGET) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines if "(base)" in line][::2] == [["1", "M"], ["10", "M"], ["1", "B"]]


def test_several_candidates_of_one_method_are_joined_by_name(three: list[Path], make: Make) -> None:
    def both_lora(run: MeasuredRun) -> MeasuredRun:
        return replace(run, models=(run.models[0], *(replace(model, kind="lora") for model in run.models[1:])))

    more = make("more", 5 * 10**6, (9, 9), both_lora)
    sizes = api.compare_by_size([str(three[1]), str(more)])
    assert sizes.series == ("a", "b")
    assert {each.outcome.gain for base in sizes.bases for each in base.candidates} == {None}


def change_margin(run: MeasuredRun) -> MeasuredRun:
    return replace(run, plan=replace(run.plan, margins={"old": 0.3}))


def change_suite(run: MeasuredRun) -> MeasuredRun:
    return replace(run, plan=replace(run.plan, suite_name="other"))


def drop_task(run: MeasuredRun) -> MeasuredRun:
    facts = tuple(fact for fact in run.facts if fact.name != "old")
    return replace(run, facts=facts, measurements=tuple(m for m in run.measurements if m.task != "old"))


def drop_row(run: MeasuredRun) -> MeasuredRun:
    shorter = (replace(m, units=m.units[1:], sizes=m.sizes[1:], rows=m.rows[1:]) for m in run.measurements)
    return replace(run, measurements=tuple(shorter))


def change_definition(run: MeasuredRun) -> MeasuredRun:
    tasks = {name: {**of, "definition": "other"} for name, of in run.signature["tasks"].items()}
    return replace(run, signature={**run.signature, "tasks": tasks})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (change_margin, "the margin of old is 0.3, in"),
        (change_suite, "is judged as suite other"),
        (drop_task, "was not asked the same tasks as"),
        (drop_row, "was measured on other rows than in"),
        (change_definition, "is not defined or scored as in"),
    ],
)
def test_runs_that_cannot_stand_together_are_5(
    three: list[Path], make: Make, change: Change, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make("other", 10**8, (9, 9), change)
    assert exit_code("compare", "--by-size", three[0], other) == 5
    assert message in capsys.readouterr().err


def test_another_engine_is_noted(three: list[Path], make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    def change_engine(run: MeasuredRun) -> MeasuredRun:
        engine = {"name": "drawn", "fingerprint": "other", "dtype": "bfloat16"}
        return replace(run, signature={**run.signature, "engine": engine})

    assert exit_code("compare", "--by-size", three[0], make("other", 10**8, (9, 9), change_engine)) == 0
    assert "by another engine than" in (told := capsys.readouterr().err) and "bfloat16 here" in told


def test_margins_that_are_stated_hold_for_all(three: list[Path], make: Make) -> None:
    other = make("other", 10**8, (9, 9), change_margin)
    assert exit_code("compare", "--by-size", three[0], other, "--margin", "old=0.2") == 0


def test_one_base_or_one_model_is_refused(three: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("compare", "--by-size", three[0], three[0]) == 2
    assert "all of the runs have the same base" in capsys.readouterr().err
    assert exit_code("compare", "--by-size", f"{three[0]}#a", three[1]) == 2
    assert "with its own base" in capsys.readouterr().err
    assert exit_code("compare", "--by-size", *three, "--metric", "acc:low=0") == 2
    with pytest.raises(UsageError, match="no candidate 'c'"):
        api.compare_by_size([str(run) for run in three], targets={"c": "old"})


def test_a_base_of_unknown_size_cannot_stand_by_it(three: list[Path], make: Make) -> None:
    with pytest.raises(NotComparableError, match="how many parameters"):
        api.compare_by_size([str(three[0]), str(make("unknown", 0, (9, 9)))])


def test_missing_answers_stay_missing(three: list[Path], make: Make) -> None:
    def fail(run: MeasuredRun) -> MeasuredRun:
        facts = (replace(run.facts[0], failed={"a": 1}), *run.facts[1:])
        lost = ExampleError(task="old", model="a", example="0", reason="deaf")
        return replace(run, facts=facts, errors=(lost,))

    assert exit_code("compare", "--by-size", three[0], make("deaf", 10**8, (0, 0), fail)) == 5


def test_without_it_another_base_is_told(three: list[Path], make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("compare", three[0], three[1]) == 0
    assert "--by-size compares each with its own" in capsys.readouterr().err
