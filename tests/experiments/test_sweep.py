"""Sweeps on a small scale: what is chosen on which rows, what diverges, what is left behind, and that going on repeats
nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from measured_runs import both, plan, task

from evalharness import results
from evalharness.analysis.comparison import compare
from evalharness.checkpoints.recognise import recognise
from evalharness.engines.hf.factory import FACTORY
from evalharness.errors import DataError, ModelError, UsageError
from evalharness.experiments import sweep as sweep_module
from evalharness.experiments import sweep_point as point_module
from evalharness.experiments.grid import EVERY, Grid
from evalharness.experiments.jobs import SweepJob
from evalharness.experiments.selection import HELD_OUT, selection_of
from evalharness.experiments.sweep import choose, run_sweep
from evalharness.records.job import Job
from evalharness.records.job_options import job_with, make_job
from evalharness.records.results import ModelRow, Results
from evalharness.report.sweep import LOSS, SWEEP, Outcome, Point, Sweep, outcome_of
from evalharness.run.evaluation import carry_out
from evalharness.run.plan import make_run_plan
from evalharness.run.progress import SilentListener
from evalharness.tasks import split_rows
from evalharness.tasks.library import Library

TASK = """
task: {name}
dataset_path: local/{name}
test_split: test
{splits}
output_type: multiple_choice
doc_to_text: "{{{{text}}}} ?"
doc_to_choice: ["no", "yes"]
doc_to_target: label
metric_list:
  - metric: acc
  - metric: brier_score
metadata: {{version: 1.0, family: other, chance: 0.5, primary: acc, lm_eval: no{more}}}
"""
TRAIN, VALIDATION = "training_split: train", "validation_split: validation"
TASKS = {  # task: (keys, rows of each split)
    "target": (f"{TRAIN}\n{VALIDATION}", "", {"train": 40, "validation": 12, "test": 12}),
    "old": (TRAIN, "", {"train": 120, "test": 12}),
    "paired": (TRAIN, ", unit: '{{pair}}'", {"train": 120, "test": 12}),
    "bare": ("", "", {"test": 12}),
}
GRID = Grid(("full", "lora"), {"full": (1e30, 1e-3), EVERY: (1e-3,)}, (1, 2), (7,), {"steps": 2, "batch_size": 4})


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, tiny: ModuleType) -> Path:
    """A suite of four tasks: one with rows of its own to choose on, two to hold some out of, one with none."""
    root = tmp_path_factory.mktemp("sweep-world")
    words = tiny.WORDS
    (root / "tasks").mkdir()
    (root / "tasks" / "small.yaml").write_text("suite: small\ntasks: [target, old, paired, bare]\n")
    start = 0
    for name, (keys, more, splits) in TASKS.items():
        (root / "tasks" / f"{name}.yaml").write_text(TASK.format(name=name, splits=keys, more=more))
        folder = root / "data" / "local" / name / "default"
        folder.mkdir(parents=True)
        for split, number in splits.items():
            rows = [
                {"text": f"{words[i % 20]} {words[i * 7 % 40]} {i}", "label": i % 2, "pair": i // 2}
                for i in range(start, start + number)
            ]
            (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
            start += number
    return root


@pytest.fixture
def job(world: Path, zoo: dict[str, Path], tmp_path: Path) -> Job:
    out = tmp_path / "sweep"
    where = {"data_dir": world / "data", "include": (world / "tasks",)}
    return make_job(
        models=(), base=str(zoo["llama"]), suite="small", target="target", out=out, store=out / "store.sqlite", **where
    )  # type: ignore[arg-type]


class Heard:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.computed, self.notices = 0, list[str]()

    def phase(self, text: str) -> None: ...

    def expect(self, requests: int) -> None: ...

    def advance(self, stored: int, computed: int) -> None:
        self.computed += computed

    def notice(self, text: str) -> None:
        self.notices.append(text)


def test_a_sweep_and_the_sweep_again(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    read, original = split_rows.read_rows, sweep_module.choose

    def spied(task: Any, split: str, source: Any) -> Any:
        order.append(split)
        return read(task, split, source)

    def chosen(*given: Any) -> Any:
        order.append("chosen")
        return original(*given)

    monkeypatch.setattr(split_rows, "read_rows", spied)
    monkeypatch.setattr(sweep_module, "choose", chosen)
    first = Heard()
    sweep, found = run_sweep(SweepJob(job, GRID), first)
    assert "test" not in order[: order.index("chosen")] and "test" in order[order.index("chosen") :]
    assert {HELD_OUT, "validation", "train"} <= set(order[: order.index("chosen")])
    by_name = {point.name: point for point in sweep.points}
    assert list(by_name) == ["full-lr0.001-s7", "full-lr1e+30-s7", "lora-r1-lr0.001-s7", "lora-r2-lr0.001-s7"]
    assert [point.status for point in sweep.points] == ["trained", "diverged", "trained", "trained"]
    assert [point.rank for point in sweep.points] == [None, None, 1, 2]
    lost = by_name["full-lr1e+30-s7"]
    assert "diverged" in lost.reason and lost.validation is None and lost.test is None
    assert all(
        point.loss is not None and point.validation is not None and point.test is not None
        for point in sweep.points
        if point is not lost
    )
    assert by_name["lora-r2-lr0.001-s7"].made["trainable"] == 2 * by_name["lora-r1-lr0.001-s7"].made["trainable"]
    assert [choice.series for choice in sweep.chosen] == ["full", "lora-r1", "lora-r2"]
    assert [model.name for model in found.models[1:]] == [name for choice in sweep.chosen for name in choice.names]
    assert {c.task for c in found.comparisons if c.level == "task"} == {"target", "old", "paired", "bare"}
    assert any("bare" in notice for notice in first.notices) and any("diverged" in notice for notice in first.notices)
    assert SWEEP.read(job.output.folder) == sweep and results.read_results(job.output.folder) == found
    page = (job.output.folder / "report.html").read_text()
    assert 'id="sweep"' in page and "How they were made" in page
    outcomes = [point.validation for point in sweep.points if point.validation is not None]
    drawn = any(outcome.suite is not None and outcome.gain is not None for outcome in outcomes)
    assert ("Target gain against forgetting" in page) == drawn

    monkeypatch.setattr("evalharness.experiments.candidates.train", lambda *_: pytest.fail("trained again"))
    kept = {
        path: path.read_bytes()
        for path in job.output.folder.rglob("*")
        if path.name in ("sweep.json", "results.json", "model.safetensors")
    }
    second = Heard()
    assert run_sweep(SweepJob(job, GRID), second) == (sweep, found)
    assert second.computed == 0
    assert {path: path.read_bytes() for path in kept} == kept


def test_rows_to_choose_on_are_neither_trained_on_nor_reported_on(job: Job, world: Path, zoo: dict[str, Path]) -> None:
    run_plan = make_run_plan(job_with(job, models=(f"same={zoo['llama']}",), allow_noop=True))
    selection = selection_of(
        run_plan, Library(job.tasks.include).task("target"), {"target", "old", "paired"}, job.output.folder / "rows"
    )
    assert selection.splits == {"target": "validation", "old": HELD_OUT, "paired": HELD_OUT}
    assert selection.held_out == {"old": 12, "paired": 12} and selection.absent == ("bare",)
    for name in ("old", "paired"):
        folder = job.output.folder / "rows" / name
        held, left = ((folder / f"{split}.jsonl").read_text().splitlines() for split in (HELD_OUT, "train"))
        whole = (world / "data" / "local" / name / "default" / "train.jsonl").read_text().splitlines()
        assert not set(held) & set(left) and {*held, *left} == set(whole)
    files = [job.output.folder / "rows" / "paired" / f"{split}.jsonl" for split in (HELD_OUT, "train")]
    held, left = ({json.loads(line)["pair"] for line in path.read_text().splitlines()} for path in files)
    assert not held & left, "a unit was torn apart"
    assert selection.run_plan(run_plan).split is None and [
        task.name for task in selection.run_plan(run_plan).tasks
    ] == ["target", "old", "paired"]


def test_a_target_without_rows_to_choose_on_is_refused(job: Job, world: Path, tmp_path: Path) -> None:
    few = tmp_path / "few.jsonl"
    few.write_text(
        "".join((world / "data" / "local" / "old" / "default" / "train.jsonl").read_text().splitlines(True)[:40])
    )
    (tmp_path / "data").mkdir()
    few.rename(tmp_path / "data" / "train.jsonl")
    (tmp_path / "data" / "test.jsonl").write_text(
        (world / "data" / "local" / "old" / "default" / "test.jsonl").read_text()
    )
    with pytest.raises(DataError, match="no rows to choose on"):
        run_sweep(SweepJob(job_with(job, target="old", data={"old": tmp_path / "data"}), GRID))
    assert not (job.output.folder / "candidates").exists()


def test_where_every_rate_diverges_it_is_said_and_kept(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = Grid(("full",), {"full": (1e30,)}, (), (7,), {"steps": 2, "batch_size": 4})
    for _ in range(2):
        with pytest.raises(ModelError, match="no learning rate can be chosen"):
            run_sweep(SweepJob(job, grid))
        monkeypatch.setattr(point_module, "make_candidate", lambda *_: pytest.fail("trained again"))
    assert [point.status for point in SWEEP.read(job.output.folder).points] == ["diverged"]  # type: ignore[union-attr]
    assert not (job.output.folder / "results.json").exists()
    (record,) = (job.output.folder / "candidates").glob("*.diverged.json")
    for hostile in ("5", "[1]", "[" * 100_000):  # tells nothing, so that the point is made again
        record.write_text(hostile)
        with pytest.raises(pytest.fail.Exception, match="trained again"):
            run_sweep(SweepJob(job, grid))


def test_the_loss_is_of_the_very_rows_that_are_chosen_on(job: Job, zoo: dict[str, Path]) -> None:
    """A limit draws rows; they are not the first ones."""
    limited = job_with(job, models=(f"same={zoo['llama']}",), limit=5, allow_noop=True)
    run_plan = make_run_plan(limited)
    selection = selection_of(
        run_plan, Library(job.tasks.include).task("target"), {"target"}, job.output.folder / "rows"
    )
    chosen_on = selection.run_plan(run_plan)
    pairs = point_module.pairs_chosen_on(chosen_on, "target", limited.statistics.seed)
    carry_out(limited, chosen_on, SilentListener(), FACTORY)
    asked = job.output.folder / "samples" / "target" / "same.jsonl"
    prompts = [json.loads(line)["prompt"] for line in asked.read_text().splitlines()]
    assert [prompt for prompt, _ in pairs] == prompts and len(prompts) == 5
    first = (job.data.folder or Path()) / "local" / "target" / "default" / "validation.jsonl"
    assert prompts != [f"{json.loads(line)['text']} ?" for line in first.read_text().splitlines()[:5]]


@pytest.mark.parametrize("finished", [True, False])
def test_the_sweep_of_another_base_or_task_is_not_overwritten(
    finished: bool, job: Job, zoo: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an interrupted sweep left counts like a finished one."""
    base = recognise(str(zoo["llama"]), role="base")
    at = job.output.folder / "candidates" / "full-lr0.001-s7"
    at.mkdir(parents=True)
    if finished:
        text = SWEEP.text(
            Sweep(
                base="first",
                task="target",
                suite="small",
                select="acc",
                rule="",
                rows={},
                points=(),
                base_fingerprint=base.fingerprint,
            )
        )
        (job.output.folder / "sweep.json").write_text(text)
    else:
        (at / "training.json").write_text(
            json.dumps({"base_fingerprint": base.fingerprint, "recipe": {"target": "target"}})
        )
        (at.parent / "lora.diverged.json").write_text(
            json.dumps({"base": base.fingerprint, "recipe": {"target": "target"}})
        )
    monkeypatch.setattr(sweep_module, "make_point", lambda *_: pytest.fail("trained"))
    with pytest.raises(UsageError, match="another base"):
        run_sweep(SweepJob(job_with(job, base=str(zoo["gpt2"])), GRID))
    with pytest.raises(UsageError, match="holds a sweep of target"):
        run_sweep(SweepJob(job_with(job, target="old"), GRID))
    sweep_module._not_another(job.output.folder, base, "target", "small")


# ---- the rule --------------------------------------------------------------------------------------------------------


def made(series: str, rate: float, seed: int, score: float | None, loss: float = 1.0) -> Point:
    outcome = (
        None
        if score is None
        else Outcome(metrics={"acc": score}, gain=None, learned=True, suite=None, forgotten=(), units=3)
    )
    return Point(
        name=f"{series}-{rate:g}-{seed}",
        series=series,
        method=series,
        rank=None,
        learning_rate=rate,
        seed=seed,
        status="diverged" if score is None else "trained",
        reason="",
        made={},
        loss=loss,
        validation=outcome,
    )


def test_the_best_mean_over_seeds_wins_and_the_smaller_of_equals() -> None:
    of_a = {1e-3: (0.5, 0.7), 1e-2: (0.9, 0.3), 1e-1: (0.1, 0.2)}
    points = [made("a", rate, seed, score) for rate, scores in of_a.items() for seed, score in enumerate(scores)]
    points += [made("b", 1.0, 0, 0.1), made("b", 2.0, 0, 0.2)]
    found = list(choose(points, "acc", lower=False))
    assert [(choice.series, choice.learning_rate) for choice in found] == [("a", 1e-3), ("b", 2.0)]
    assert found[0].score == pytest.approx(0.6) and found[0].names == ("a-0.001-0", "a-0.001-1")


def test_a_rate_with_a_failed_seed_cannot_be_chosen() -> None:
    points = [
        made("a", 1e-3, 0, 0.5),
        made("a", 1e-3, 1, 0.5),
        made("a", 1e-2, 0, 0.9),
        made("a", 1e-2, 1, None),
        made("b", 1.0, 0, None),
    ]
    assert [(choice.series, choice.learning_rate) for choice in choose(points, "acc", lower=False)] == [("a", 1e-3)]


def test_less_loss_is_better() -> None:
    points = [made("a", 1e-3, 0, 0.9, loss=2.0), made("a", 1e-2, 0, 0.1, loss=1.0)]
    assert [choice.learning_rate for choice in choose(points, LOSS, lower=True)] == [1e-2]


# ---- what is asked ---------------------------------------------------------------------------------------------------


def test_wrong_before_anything_is_trained(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_module, "make_point", lambda *_: pytest.fail("trained"))
    with pytest.raises(UsageError, match=r"no metric 'f1'; .*acc"):
        run_sweep(SweepJob(job, GRID, select="f1"))
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="GPU"):
            run_sweep(SweepJob(job, Grid(("full", "qlora"))))
    with pytest.raises(DataError):
        run_sweep(SweepJob(job_with(job, data_dir=job.output.folder.parent / "nowhere"), GRID))
    job.output.folder.mkdir()
    (job.output.folder / "sweep.json").write_text("{}")
    with pytest.raises(UsageError, match=r"sweep\.json: not the sweep"):
        run_sweep(SweepJob(job, GRID))


def test_a_target_that_was_not_measured_has_no_score_to_choose_by() -> None:
    rows = compare([task("t", failed={"lora": 40})], both("t", 40, 30)[:1], plan())
    row = ModelRow(
        name="lora", kind="lora", fingerprint="f", base="base", parameters=1, trainable=1, trainable_share=1.0, bytes=1
    )
    outcome = outcome_of(Results(signature={}, models=(row,), comparisons=rows), "lora", "t")
    assert outcome.metrics == {} and outcome.suite is None
