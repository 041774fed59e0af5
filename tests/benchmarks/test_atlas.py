"""The atlas: a line on the tiny base, what is taken over, what is refused; and that the page shows the records."""

from __future__ import annotations

import importlib
import json
import runpy
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from evalharness.data.drift_table import shipped_table
from evalharness.errors import DataError, UsageError
from evalharness.records.drift_table import KINDS, OUTPUTS
from evalharness.records.job_options import make_job
from evalharness.run.plan import make_run_plan
from evalharness.tasks.library import Library

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "benchmarks" / "atlas"
BASE, WORLD = ROOT / "fixtures" / "models" / "tiny-base", ROOT / "fixtures" / "world" / "rows"
FORECAST = [  # seed, kinds, Spearman, Spearman without prompt tuning, within the interval
    (1, (OUTPUTS,), 0.944, 0.923, 15),
    (2, (OUTPUTS,), 0.85, 0.965, 16),
    (3, (OUTPUTS,), 0.976, 0.972, 16),
]
PAGE = (ROOT / "docs" / "atlas.md").read_text("utf-8")


@pytest.fixture(scope="module")
def atlas() -> Iterator[Any]:
    """The modules beside the script, by name; `main` is what the script has."""
    names = ("plan", "lines", "matching", "measure", "model", "tables", "figures", "forecast")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(HERE)
        modules: dict[str, ModuleType] = {name: importlib.import_module(name) for name in names}
        yield SimpleNamespace(**modules, main=SimpleNamespace(**runpy.run_path(str(HERE / "__main__.py"))))
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", "")).startswith(str(HERE)):
                del sys.modules[name]


def _few_texts(folder: Path) -> Path:
    texts = (ROOT / "fixtures" / "drift" / "neutral.txt").read_text("utf-8").split("\n\n")[:4]
    (folder / "few.txt").write_text("\n\n".join(texts))
    return folder / "few.txt"


@pytest.fixture(scope="module")
def small(atlas: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One full training of the tiny base that forgets, and its line."""
    threads = torch.get_num_threads()
    way = atlas.plan.Way(method="full", rate=3.2e-3)
    plan = atlas.plan.Plan(
        base=BASE,
        folder=tmp_path_factory.mktemp("atlas"),
        ways=(way,),
        seeds=(1,),
        target="topics",
        steps=4,
        batch_size=4,
        instead={
            "tasks": ("sst2", "topics"),
            "data_dir": WORLD,
            "split": "test",
            "limit": 16,
            "drift_text": _few_texts(tmp_path_factory.mktemp("texts")),
        },
        swept=(),
    )
    heard: list[int] = []
    measured = atlas.measure.measured(plan, 1, lambda of: heard.append(len(of)))
    yield SimpleNamespace(plan=plan, way=way, lines=measured, heard=heard)
    torch.set_num_threads(threads)


def test_a_candidate_is_trained_and_measured_with_drift(atlas: Any, small: Any) -> None:
    [candidate] = small.lines
    assert small.heard == [1] and candidate["name"] == "full-0.0032-s1"
    assert candidate["suite"]["value"] < -1 and candidate["units"]["sst2"]["difference"]["value"] < 0
    assert set(candidate["units"]) == {"sst2"}, "the target is no task of the suite"
    assert candidate["drift"]["neutral"]["kl"]["value"] > 0
    assert atlas.lines.damaged(small.lines) == []


@pytest.mark.slow
def test_a_candidate_is_repaired_and_verified(atlas: Any, small: Any, tmp_path: Path) -> None:
    plan = replace(small.plan, swept=("full",))
    candidate, repaired = atlas.measure.measured(plan, 1, lambda of: None)
    assert candidate == small.lines[0] and repaired["of"] == candidate["name"]
    assert "reason" in repaired or 0 < repaired["lambda"] < 1
    atlas.lines.write(tmp_path / "results.json", {**atlas.measure.head(plan), "lines": [candidate, repaired]})
    assert [atlas.main.verify(plan, each["name"], tmp_path / "results.json") for each in (candidate, repaired)] == [
        0,
        0,
    ]


def test_a_second_call_takes_lines_over_and_other_settings_do_not(atlas: Any, small: Any) -> None:
    kept = small.plan.folder / "lines" / "full-0.0032-s1.json"
    document = json.loads(kept.read_text())
    document["line"]["cost"] = {"all": -1}
    kept.write_text(json.dumps(document))
    assert atlas.measure.candidate_line(small.plan, small.way, 1)["cost"] == {"all": -1}
    stale = {**document, "question": {**document["question"], "target": "rte"}}
    kept.write_text(json.dumps(stale))
    again = atlas.measure.candidate_line(small.plan, small.way, 1)
    assert again["cost"] != {"all": -1} and again["digest"] == small.lines[0]["digest"]


def test_records_give_the_same_page_and_figures_again(atlas: Any, small: Any, tmp_path: Path) -> None:
    records = tmp_path / "results.json"
    atlas.lines.write(records, {**atlas.measure.head(small.plan), "lines": small.lines})
    document = atlas.lines.read(records)
    page = atlas.tables.with_tables(PAGE, document)
    assert page == atlas.tables.with_tables(page, document) and "full-0.0032" in page
    drawn = [path.read_bytes() for path in atlas.figures.draw(tmp_path, document)]
    assert drawn == [path.read_bytes() for path in atlas.figures.draw(tmp_path, document)]
    assert max(map(len, drawn)) < 100_000


def test_records_that_were_changed_by_hand_are_refused(atlas: Any, small: Any, tmp_path: Path) -> None:
    records = tmp_path / "results.json"
    forged = {**small.lines[0], "gain": {"value": 0.9, "low": 0.8, "high": 1.0}}
    atlas.lines.write(records, {"target": "topics", "lines": [forged]})
    with pytest.raises(DataError, match=r"full-0\.0032-s1: not as their digests say"):
        atlas.lines.read(records)
    records.write_text("{")
    with pytest.raises(DataError, match="no records of the atlas"):
        atlas.lines.read(records)
    with pytest.raises(DataError, match="make atlas"):
        atlas.lines.read(tmp_path / "none.json")


def test_verifying_names_what_differs_times_aside(atlas: Any) -> None:
    one = {"gain": {"value": 0.1}, "cost": {"all": 1}, "seed": 1}
    other = {"gain": {"value": 0.2}, "cost": {"all": 9}, "seed": 1}
    assert atlas.main.differences(one, other) == {"gain.value": (0.1, 0.2)}
    with pytest.raises(UsageError, match="there is no line 'x'"):
        atlas.main.verify(None, "x", HERE / "results.json")


def test_methods_are_compared_between_neighbouring_rates(atlas: Any) -> None:
    """By hand: full reaches a gain of .2 half way between its rates, at −1; LoRA three quarters of the way, at −3."""
    at_gain = atlas.matching.at_gain
    assert at_gain([(0.1, 0.0), (0.3, -2.0)], 0.2) == pytest.approx(-1.0)
    assert at_gain([(0.05, 0.0), (0.25, -4.0)], 0.2) == pytest.approx(-3.0)
    assert at_gain([(0.1, 0.0), (0.3, -2.0)], 0.4) is None
    points = {"full": [(0.1, 0.0), (0.3, -2.0)], "lora": [(0.1, 0.0), (0.3, -4.0)]}
    given = [
        {"method": method, "seed": 1, "of": None, "replay": 0.0, "rate": i, "gain": {"value": g}, "suite": {"value": s}}
        for method, curve in points.items()
        for i, (g, s) in enumerate(curve)
    ]
    rows = list(atlas.matching.matched(given, ("full", "lora")))
    assert [round(row["gain"], 3) for row in rows] == [0.15, 0.2, 0.25]
    assert [row["full"][0] for row in rows] == pytest.approx([-0.5, -1.0, -1.5])
    assert [row["lora"][0] for row in rows] == pytest.approx([-1.0, -2.0, -3.0])
    assert not list(atlas.matching.matched(given[:3], ("full", "lora")))


def test_the_suites_name_what_there_is(atlas: Any) -> None:
    library = Library([atlas.plan.TASKS])
    shipped, whole = library.suite("atlas"), library.suite("atlas-data")
    subjects = tuple(f"mmlu_{subject}_continuation" for subject in atlas.plan.SUBJECTS)
    assert tuple(whole.tasks) == (*shipped.tasks, *subjects) and "topics" in shipped.tasks
    assert [(group.name, tuple(group.tasks)) for group in whole.groups] == [("atlas_mmlu", subjects)]


def test_another_wheel_is_refused(atlas: Any, tmp_path: Path) -> None:
    wheel = tmp_path / "a.whl"
    wheel.write_bytes(b"other")
    with pytest.raises(DataError, match="its SHA-256 is"):
        atlas.model.check(wheel)


def test_a_folder_without_rows_is_refused(atlas: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert atlas.main.main(["--data", str(tmp_path), "--model", str(BASE)]) == 2
    assert "has no folder test/" in capsys.readouterr().err


def test_the_page_shows_the_records(atlas: Any, tmp_path: Path) -> None:
    document = atlas.lines.read(HERE / "results.json")
    assert atlas.tables.with_tables(PAGE, document) == PAGE, "run: python benchmarks/atlas --tables"
    for drawn in atlas.figures.draw(tmp_path, document):
        assert drawn.read_bytes() == (ROOT / "docs" / drawn.name).read_bytes(), drawn.name


@pytest.mark.parametrize("data", [None, Path("mmlu")])
def test_repairs_ask_what_their_suite_has(atlas: Any, tmp_path: Path, data: Path | None) -> None:
    plan = atlas.plan.Plan(base=BASE, folder=tmp_path, ways=atlas.plan.real_ways(), data=data)
    models = (f"same={BASE}",)
    job = make_job(models, plan.repair_suite, **{**plan.asked_of_repairs(), "allow_noop": True})
    assert make_run_plan(job).suite.name == plan.repair_suite


def test_the_shipped_table_forecasts_the_seed_that_it_is_not_fitted_on(atlas: Any) -> None:
    """Golden: `python benchmarks/atlas/world.py --check`, as docs/drift.md has it."""
    table = shipped_table()
    held = list(atlas.forecast.held_out(table))
    measured = [(e.seed, e.kinds, round(e.spearman, 3), round(e.of_weights, 3), e.covered) for e in held]
    assert measured == FORECAST
    assert sum(each.covered for each in held) / sum(each.n for each in held) >= 0.85
    assert {each.method for each in table} == {"full", "lora", "prompt"}
    assert len(table) == 48 and {kind for each in table for kind in each.kl} == set(KINDS)


def test_the_records_are_a_table_once_two_seeds_are_measured(atlas: Any, small: Any) -> None:
    head = {"base": {"fingerprint": "f"}, "suite": "s", "target": "topics"}
    one = small.lines
    assert atlas.forecast.lines_of_records({**head, "lines": one}) == [
        "Nothing is forecast yet: one seed is forecast from the others."
    ]
    two = [{**line, "seed": seed} for line in one for seed in (1, 2)]
    assert len(atlas.forecast.lines_of_records({**head, "lines": two})) == 5


def test_a_run_with_drift_gives_lines_of_a_table(atlas: Any, small: Any) -> None:
    [line] = atlas.forecast.candidates_in(small.plan.folder / atlas.measure.EVALUATIONS)
    assert line.method == "full" and line.margins == pytest.approx(small.lines[0]["suite"]["value"], abs=1e-6)
