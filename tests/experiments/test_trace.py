"""Stages of a training end to end without a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from experiments.stages import column, knows, measure

from evalharness.engines.scripted import ScriptedFactory
from evalharness.errors import EvalHarnessError
from evalharness.experiments.jobs import TraceJob
from evalharness.experiments.trace import run_trace
from evalharness.records.job import Job
from evalharness.records.job_options import job_with, make_job
from evalharness.report.stages import read_stages
from evalharness.run.progress import SilentListener
from evalharness.stats.multiplicity import holm

STEPS = ("llama-lora", "llama-prompt", "llama-IA3")
# how many of the 30 questions each model answers rightly: (yes_no, echo)
RIGHT = {
    "base": (20, 30),
    "llama-lora": (30, 28),
    "llama-prompt": (12, 0),
    "llama-IA3": (30, 0),
    "joint": (27, 30),
    "fresh": (10, 0),
}


@pytest.fixture
def factory() -> ScriptedFactory:
    return ScriptedFactory(knows(0, 0), {name: knows(*right) for name, right in RIGHT.items()})


@pytest.fixture
def job(zoo: dict[str, Path], small_world: Path, tmp_path: Path) -> Job:
    return make_job(
        models=tuple(f"{name}={zoo[name]}" for name in STEPS), base=f"base={zoo['llama']}",
        include=(small_world / "tasks",), data_dir=small_world / "data", out=tmp_path / "out",
        store=tmp_path / "store.sqlite", tasks=("yes_no", "echo"), margin=0.1,
    )  # fmt: skip


def test_three_stages_end_to_end(
    job: Job, factory: ScriptedFactory, zoo: dict[str, Path], tiny: ModuleType, tmp_path: Path
) -> None:
    fresh = tiny.make_base("llama", tmp_path / "untrained", seed=9)
    asked = TraceJob(job, {"llama-lora": ("yes_no",)}, joint=str(zoo["llama-VERA"]), fresh=str(fresh))
    stages, found = run_trace(asked, factory=factory)
    assert stages.stages == STEPS and (stages.joint, stages.fresh) == ("joint", "fresh") and stages.base == "base"
    asked_of = [name for name, _ in factory.requests]
    assert {name: asked_of.count(name) for name in asked_of} == dict.fromkeys(RIGHT, 60)

    yes_no, echo = column(stages, "yes_no"), column(stages, "echo")
    assert [round(30 * cell.score.value) for cell in yes_no.cells] == [30, 12, 30] and (
        yes_no.learned,
        echo.learned,
    ) == (1, 0)
    assert [cell.difference.value for cell in echo.cells] == pytest.approx([-2 / 30, -1, -1])
    assert [cell.reference for cell in yes_no.cells] == [None, "llama-lora", "llama-lora"]
    assert yes_no.cells[1].since is not None and yes_no.cells[1].since.value == pytest.approx(-18 / 30)
    assert (yes_no.first, yes_no.after) == ("llama-prompt", "comes_back") and (echo.first, echo.after) == (
        "llama-prompt",
        "stays",
    )
    assert yes_no.cells[2].retained is not None and yes_no.cells[2].retained.value == 1.0
    assert (
        echo.joint is not None
        and echo.joint.value == 1.0
        and yes_no.fresh is not None
        and yes_no.fresh.value == pytest.approx(1 / 3)
    )

    cells = [cell for each in stages.columns for cell in each.cells if cell.p_adjusted is not None]
    assert stages.tests == len(cells) == 5
    assert [cell.p_adjusted for cell in cells] == holm([cell.p_forgotten for cell in cells])  # type: ignore[misc]
    assert cells[-1].p_forgotten == next(
        c.p_forgotten for c in found.comparisons if (c.candidate, c.task) == ("llama-IA3", "echo")
    )

    assert measure(stages, "learned", "accuracy") == 1.0 and measure(stages, "all", "accuracy") == 0.5
    assert (
        measure(stages, "learned", "backward_transfer") == 0.0
        and measure(stages, "general", "backward_transfer") == -1.0
    )
    assert measure(stages, "learned", "forgetting") == 0.0 and measure(stages, "general", "forgetting") == 1.0
    assert measure(stages, "learned", "intransigence") == pytest.approx(-0.1)
    assert measure(stages, "learned", "forward_transfer") == "none was learned after the first stage"
    assert measure(stages, "general", "intransigence") == "none was learned at a stage"

    assert read_stages(job.output.folder) == stages
    page = (job.output.folder / "report.html").read_text()
    assert (
        'id="stages"' in page
        and "yes_no is forgotten at llama-prompt (−0.600 since llama-lora" in page
        and "Skill retained" in page
    )
    assert {model.name: model.target_task for model in found.models}["llama-lora"] == "yes_no"

    before = {
        path.name: path.read_bytes()
        for path in job.output.folder.iterdir()
        if path.is_file() and path.name not in ("run.json", "report.html")
    }
    idle = ScriptedFactory(knows(0, 0))
    assert run_trace(asked, factory=idle) == (stages, found) and idle.requests == []
    assert {name: (job.output.folder / name).read_bytes() for name in before} == before
    (job.output.folder / "results.json").write_text((job.output.folder / "results.json").read_text() + "\n")
    assert read_stages(job.output.folder) is None, "stages of another run"


def test_saved_steps_in_the_order_of_their_numbers(job: Job, copy: Callable[..., Path], tmp_path: Path) -> None:
    for name, step in zip(STEPS, ("checkpoint-9", "checkpoint-10", "checkpoint-100"), strict=True):
        copy(name, f"steps/{step}")
    replies = {f"checkpoint-{n}": knows(*right) for n, right in ((9, (20, 30)), (10, (20, 3)), (100, (30, 2)))}
    stages, _ = run_trace(
        TraceJob(job_with(job, models=(f"{tmp_path / 'steps'}/*",))), factory=ScriptedFactory(knows(20, 30), replies)
    )
    assert stages.stages == ("checkpoint-9", "checkpoint-10", "checkpoint-100")
    assert (
        column(stages, "echo").first == "checkpoint-10"
        and column(stages, "echo").after == "stays"
        and column(stages, "yes_no").first is None
    )
    assert (
        stages.learned == dict.fromkeys(stages.stages, ()) and measure(stages, "learned", "accuracy") == "no such task"
    )


class Heard(SilentListener):
    """A listener that remembers what it is told."""

    def __init__(self) -> None:
        self.notices: list[str] = []

    def notice(self, text: str) -> None:
        self.notices.append(text)


def test_what_a_stage_learned_is_in_its_training_json(
    job: Job, factory: ScriptedFactory, copy: Callable[..., Path], edit_json: Callable[..., None]
) -> None:
    texts = []
    for name, target in zip(STEPS, ("yes_no", "something_else", "echo"), strict=True):
        edit_json(copy(name) / "training.json", target_task=target)
        texts.append(f"{name}={job.output.folder.parent / name}")
    heard = Heard()
    stages, _ = run_trace(
        TraceJob(job_with(job, models=tuple(texts), tasks=("yes_no",)), {STEPS[2]: ("yes_no",)}), heard, factory
    )
    assert stages.learned == {STEPS[0]: ("yes_no",), STEPS[1]: ("something_else",), STEPS[2]: ("yes_no",)}
    assert column(stages, "yes_no").learned == 1 and column(stages, "yes_no").first == STEPS[1]
    assert any(f"something_else, which {STEPS[1]} learned, is not measured" in notice for notice in heard.notices)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"job": {"models": ()}}, "no stage"),
        ({"learned": {"lama-lora": ("echo",)}}, "did you mean llama-lora"),
        ({"learned": {"llama-lora": ("ecko",)}}, "ecko"),
        ({"joint": "somewhere/*"}, "--joint: 'somewhere/\\*' is several"),
        ({"fresh": "nowhere/at/all"}, "nowhere"),
    ],
)
def test_wrong_before_anything_is_asked(
    job: Job, factory: ScriptedFactory, changes: Mapping[str, Any], words: str
) -> None:
    changes = dict(changes)
    job = job_with(job, **changes.pop("job", {}))
    with pytest.raises(EvalHarnessError, match=words):
        run_trace(TraceJob(job, **changes), factory=factory)
    assert factory.requests == []
