"""Searches for the first checkpoint that forgot, end to end: scripted answers of sixteen, and a real tiny training."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from experiments.stages import knows
from safetensors.torch import load_file, save_file

import evalharness
from evalharness import results
from evalharness.checkpoints.discover import steps_of
from evalharness.engines.scripted import ScriptedFactory
from evalharness.errors import EvalHarnessError, NotComparableError, UsageError
from evalharness.experiments.bisect import run_bisect
from evalharness.experiments.jobs import BisectJob
from evalharness.records.job import Job
from evalharness.records.job_options import job_with, make_job
from evalharness.records.requests import Failure, Request, Response
from evalharness.report.bisect import BISECT, Bisection
from evalharness.report.bisect_table import looks_table, sentences

COUNT, KNOWN, LOST = 16, (30, 30), (30, 0)


@pytest.fixture(scope="module")
def training(zoo: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen adapters of different weights on one base, as a trainer saves them."""
    root = tmp_path_factory.mktemp("training")
    for step in range(1, COUNT + 1):
        folder = root / f"checkpoint-{step}"
        shutil.copytree(zoo["llama-lora"], folder)
        weights = load_file(folder / "adapter_model.safetensors")
        moved = {name: values * (1 + step / 50) for name, values in weights.items()}
        save_file(moved, folder / "adapter_model.safetensors", {"format": "pt"})
    return root


@pytest.fixture
def job(training: Path, zoo: dict[str, Path], small_world: Path, tmp_path: Path) -> Job:
    return make_job(
        models=tuple(map(str, steps_of(training))), base=f"base={zoo['llama']}", include=(small_world / "tasks",),
        data_dir=small_world / "data", out=tmp_path / "out", store=tmp_path / "store.sqlite",
        tasks=("yes_no", "echo"), margin=0.2,
    )  # fmt: skip


def answers(known: Sequence[tuple[int, int]]) -> ScriptedFactory:
    """Engines of a base that knows everything, and of checkpoints that know so much of (yes_no, echo)."""
    replies = {f"checkpoint-{place}": knows(*right) for place, right in enumerate(known, start=1)}
    return ScriptedFactory(knows(*KNOWN), {"base": knows(*KNOWN), **replies})


def searched(job: Job, known: Sequence[tuple[int, int]], unit: str | None = None) -> tuple[Bisection, ScriptedFactory]:
    factory = answers(known)
    job = job_with(job, models=job.models.candidates[: len(known)])
    return run_bisect(BisectJob(job, unit), factory=factory), factory


def test_the_first_that_forgot_of_sixteen(job: Job) -> None:
    found, factory = searched(job, [KNOWN] * 9 + [LOST] * 7)
    assert (found.outcome, found.first, found.before) == ("found", "checkpoint-10", "checkpoint-9")
    assert [look.place for look in found.looks[:5]] == [16, 8, 12, 10, 9] and len(found.looks) == found.most_looks == 6
    asked = [name for name, _ in factory.requests]
    assert {name: asked.count(name) for name in asked} == dict.fromkeys(
        ("base", *(look.checkpoint for look in found.looks)), 60
    )
    assert found.alpha_of_look == pytest.approx(0.05 / 6) and BISECT.read(job.output.folder) == found
    look = next(look for look in found.looks if look.checkpoint == found.first)
    assert look.state == "forgotten" and look.folder == "looks/10-checkpoint-10"
    ordinary = results.read_results(job.output.folder / look.folder)
    assert [(unit.unit, unit.difference, unit.verdict) for unit in look.units] == [
        (c.task, c.difference, c.verdict) for c in ordinary.comparisons if c.is_gate_unit
    ]
    pages = [path.parent.name for path in job.output.folder.rglob("report.html")]
    assert pages == ["10-checkpoint-10"]
    table, said = looks_table(found), "\n".join(sentences(found))
    assert [row[0] for row in table.rows] == sorted((row[0] for row in table.rows), key=int)
    assert "the search by halves ends at checkpoint-10" in said and "echo (" in said and "α / 6 = 0.0083" in said


def test_the_same_search_again_asks_nothing(job: Job) -> None:
    found, _ = searched(job, [KNOWN, LOST])
    again, none = searched(job, [LOST, LOST])  # the store has all answers
    assert again == found and found.first == "checkpoint-2" and not none.requests


def test_a_training_that_forgot_nothing_is_one_look(job: Job) -> None:
    found, _ = searched(job, [KNOWN] * 16)
    assert (found.outcome, found.first, len(found.looks)) == ("nothing_forgotten", None, 1)
    assert "nothing forgotten: checkpoint-16" in sentences(found)[0]


def test_a_course_that_goes_back_is_reported(job: Job) -> None:
    found, _ = searched(job, [LOST, KNOWN, KNOWN, LOST])
    assert (found.outcome, found.first, found.before) == ("not_monotone", "checkpoint-4", "checkpoint-3")
    assert [(back.unit, back.forgotten, back.retained) for back in found.returned] == [
        ("echo", "checkpoint-1", "checkpoint-2")
    ]
    assert any(line.startswith("Not monotone: echo is forgotten at checkpoint-1") for line in sentences(found))


def test_one_unit_is_followed(job: Job) -> None:
    found, _ = searched(job, [KNOWN, LOST, (0, 0)], "yes_no")
    assert (found.outcome, found.first) == ("found", "checkpoint-3")


def test_what_cannot_be_searched_is_refused(job: Job, tmp_path: Path) -> None:
    def refused(job: Job, unit: str | None = None) -> str:
        with pytest.raises(EvalHarnessError) as error:
            run_bisect(BisectJob(job, unit), factory=answers([KNOWN] * 16))
        assert error.value.exit_code == 2 and not (job.output.folder / "looks").exists()
        return str(error.value)

    assert "'ech' is not measured" in refused(job, "ech")
    assert "several checkpoints are called" in refused(job_with(job, models=job.models.candidates[:1] * 2))
    assert "until_decided" in refused(job_with(job, until_decided=True))
    assert "drift_only" in refused(job_with(job, drift_only=True))
    job.output.folder.mkdir()
    (job.output.folder / "results.json").write_text("{}")
    assert "holds a run" in refused(job)


def test_a_look_without_some_answers_ends_the_search(job: Job) -> None:
    def broken(request: Request) -> Response | Failure:
        return Failure(request_id=request.id, reason="broken")

    factory = ScriptedFactory(knows(*KNOWN), {"checkpoint-16": broken})
    with pytest.raises(NotComparableError, match="60 examples got no answer"):
        run_bisect(BisectJob(job), factory=factory)
    left = BISECT.read(job.output.folder)
    assert left is not None and (left.outcome, left.looks) == ("", ())
    with pytest.raises(UsageError, match="another unit"):
        run_bisect(BisectJob(job, "echo"), factory=factory)
    for options in ({"margin": 0.1}, {"limit": 9}, {"seed": 4}):
        with pytest.raises(UsageError, match="another setting"):
            run_bisect(BisectJob(job_with(job, **options)), factory=factory)  # type: ignore[arg-type]


def test_a_folder_takes_no_search_over_other_rows(job: Job, small_world: Path, tmp_path: Path) -> None:
    searched(job, [KNOWN, LOST])
    shutil.copytree(small_world / "data", tmp_path / "data")
    for path in (tmp_path / "data").rglob("*.jsonl"):
        path.write_text(path.read_text().partition("\n")[2])
    with pytest.raises(UsageError, match="over other rows"):
        searched(job_with(job, data_dir=tmp_path / "data"), [KNOWN, LOST])


def test_from_python(job: Job, training: Path, zoo: dict[str, Path], small_world: Path, tmp_path: Path) -> None:
    """A folder of checkpoints, or each of them."""
    options = {"base": str(zoo["llama"]), "include": small_world / "tasks", "data_dir": small_world / "data"}
    options |= {"tasks": "yes_no", "limit": 9, "store": tmp_path / "store.sqlite", "margin": 0.2}
    last = [training / "checkpoint-15", training / "checkpoint-16"]
    found = evalharness.bisect(last, unit="yes_no", out=tmp_path / "two", **options)  # type: ignore[arg-type]
    assert found == BISECT.read(tmp_path / "two") and found.checkpoints == ("checkpoint-15", "checkpoint-16")
    assert evalharness.load(tmp_path / "two" / found.looks[0].folder).candidates == ("checkpoint-16",)
    whole = evalharness.bisect(str(training), out=tmp_path / "all", **options)  # type: ignore[arg-type]
    assert len(whole.checkpoints) == COUNT and whole.looks[0].checkpoint == "checkpoint-16"
    for wrong in ({"units": "yes_no"}, {"unit": 3}, {"tasks": ()}):
        with pytest.raises(EvalHarnessError) as error:
            evalharness.bisect(last, out=tmp_path / "wrong", **{**options, **wrong})  # type: ignore[arg-type]
        assert error.value.exit_code == 2
