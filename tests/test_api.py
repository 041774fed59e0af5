"""The functions for Python that read what a run left."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path

import pytest

import evalharness
from evalharness.errors import UsageError
from evalharness.records.comparison import Comparison, Estimate
from evalharness.records.job_options import JobOptions, PlanOptions
from evalharness.records.measurements import ExampleError
from evalharness.records.results import ModelRow, Results
from evalharness.results import write_results

ROW = Comparison(
    task="rte", family="glue", level="task", unit=True, metric="acc", primary=True, candidate="lora", n=300,
    base=Estimate(value=0.8), candidate_score=Estimate(value=0.8), difference=Estimate(value=0.0, low=-0.1, high=0.1),
    ci_level=0.9, margin=0.02, verdict="retained", available=300, points=True, span=1.0,
)  # fmt: skip
SUITE = replace(ROW, task="demo", level="suite", metric="margins", margin=1.0, points=False, span=None)
LOST = replace(ROW, candidate="full", verdict="forgotten", p_forgotten_adjusted=0.001)


@pytest.fixture
def results() -> Results:
    models = [
        ModelRow(name=name, kind=kind, fingerprint=name, base=base, parameters=1, trainable=1, trainable_share=1.0,
                 bytes=1)
        for name, kind, base in (("base", "base", None), ("lora", "lora", "base"), ("full", "full", "base"))
    ]  # fmt: skip
    rows = (SUITE, ROW, replace(SUITE, candidate="full"), LOST)
    return Results(signature={"alpha": 0.05}, models=tuple(models), comparisons=rows)


def test_a_run_is_loaded_and_gated_from_its_folder_or_from_results(results: Results, tmp_path: Path) -> None:
    write_results(tmp_path, results)
    loaded = evalharness.load(tmp_path)
    assert loaded.record == results and loaded == evalharness.Results.load(str(tmp_path / "results.json"))
    for run in (results, loaded, tmp_path, str(tmp_path)):
        decision = evalharness.gate(run)
        assert (decision.exit_code, [each.exit_code for each in decision.candidates]) == (3, [0, 3])
    assert evalharness.gate(results, candidates=["lora"]).exit_code == 0
    assert evalharness.gate(results, candidates=["lora"], ceiling=0.05).exit_code == 4
    assert evalharness.gate(results, candidates=["lora"], ceiling=0.05, on_inconclusive="pass").exit_code == 0
    assert evalharness.gate(results, candidates=["lora"], ceilings={"rte": 0.2}).exit_code == 0


def test_what_is_wrong_is_said_as_on_the_command_line(results: Results, tmp_path: Path) -> None:
    for given, said in (
        ({"candidates": ["laura"]}, "no candidate 'laura' in the run; did you mean lora"),
        ({"candidates": "lora"}, "candidates: 'lora' .* is no value for it"),
        ({"on_inconclusive": "maybe"}, "on_inconclusive: 'maybe' .*'fail' or 'pass'"),
        ({"ceiling": -1.0}, "ceiling: -1.0 of all is no loss"),
        ({"ceilings": {"rta": 0.1}}, "no gate unit 'rta'"),
    ):
        with pytest.raises(UsageError, match=said):
            evalharness.gate(results, **given)
    for function in (evalharness.evaluate, evalharness.compare, evalharness.plan):
        with pytest.raises(UsageError, match="margn: there is no such option; did you mean margin"):
            function(["a"], margn=0.1)
    with pytest.raises(UsageError, match="celing: there is no such option; did you mean ceiling"):
        evalharness.gate(results, celing=0.1)
    for load in (evalharness.load, evalharness.gate):
        with pytest.raises(UsageError):
            load(tmp_path)
        with pytest.raises(UsageError, match="run: 7"):
            load(7)


def test_a_method_refuses_what_the_function_refuses(results: Results) -> None:
    held = evalharness.Results(results)
    for given, said in (
        ({"policy": {"margin": 0.1}}, r"policy: \{'margin': 0.1\} \(dict\) is no value for it; a text or a path or "),
        ({"policy": ""}, "policy: is empty; name a file or folder"),
        ({"candidates": "lora"}, "candidates: 'lora' .* is no value for it"),
    ):
        for refusing in (held.gate, lambda **options: evalharness.gate(results, **options)):
            with pytest.raises(UsageError, match=said):
                refusing(**given)
    with pytest.raises(UsageError, match=r"policy: .* is no value for it"):
        evalharness.evaluate("lora", "demo", policy={"margin": 0.1})


def test_an_empty_path_is_not_the_current_folder(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_results(tmp_path, results)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    for name, call in {
        "run": lambda: evalharness.load(""),
        "out": lambda: evalharness.compare(["."], out=""),
        "runs": lambda: evalharness.compare([""]),
        "folder": lambda: evalharness.Results(results).save(""),
        "baseline": lambda: evalharness.gate(results, baseline=""),
        "data_dir": lambda: evalharness.evaluate("lora", "demo", data_dir=""),
        "data": lambda: evalharness.plan("demo", data={"rte": ""}),
        "earlier": lambda: evalharness.plan("demo", earlier=""),
    }.items():
        with pytest.raises(UsageError, match=f"^{name}: is empty; name ") as refused:
            call()
        assert refused.value.exit_code == 2
    for empty in (lambda: evalharness.Results.load(""), lambda: evalharness.gate("")):
        with pytest.raises(UsageError, match=r"^run: is empty; name "):
            empty()
    assert sorted(tmp_path.iterdir()) == before


def test_results_are_short_where_they_are_shown(results: Results) -> None:
    assert repr(results) == "Results(lora, full; 1 gate units, 0 errors)"
    shown = repr(evalharness.Results(results))  # the suite is retained of both, and the gate fails full
    assert shown == "Results(lora may ship, full may not ship; 1 gate units, 0 errors)"
    failed = replace(results, errors=(ExampleError(task="rte", model="lora", example="1", reason="no answer"),))
    assert "lora incomplete" in repr(evalharness.Results(failed))
    assert repr(Results(signature={}, models=(), comparisons=())) == "Results(no candidates; 0 gate units, 0 errors)"


def test_every_option_is_spelled_out_where_python_shows_a_signature() -> None:
    for function, options in ((evalharness.evaluate, JobOptions), (evalharness.plan, PlanOptions)):
        shown = inspect.signature(function).parameters
        assert {*options.__annotations__} < {*shown} and "options" not in shown
        assert shown["limit"].annotation == int | None
    for function in (evalharness.evaluate, evalharness.plan):
        words = {*(function.__doc__ or "").replace("`", " ").replace(",", " ").replace(".", " ").split()}
        assert not {*inspect.signature(function).parameters} - words - {"suite", "models"}


def test_the_packages_names_are_those_that_it_offers() -> None:
    assert (
        {"compare", "evaluate", "gate", "load", "plan", "Results"} <= set(dir(evalharness)) == set(evalharness.__all__)
    )
