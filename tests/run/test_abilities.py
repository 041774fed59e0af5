"""Models that answer some kinds of requests only, in a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from evalharness.engines.scripted import ScriptedFactory
from evalharness.errors import UsageError
from evalharness.records.job import Job
from evalharness.records.job_options import job_with, make_job
from evalharness.records.models import Checkpoint
from evalharness.records.requests import Generate, Generation, Profile, Rank, Request, Response
from evalharness.run.abilities import within_abilities
from evalharness.run.evaluation import evaluate
from evalharness.run.plan import make_run_plan


def reply(request: Request) -> Response:
    assert isinstance(request, Generate)
    return Generation(request_id=request.id, text="yes", finish_reason="eos", tokens=1)


class WritingOnly(ScriptedFactory):
    """Answers no ranking, and has room for three tokens."""

    def unanswered(self, checkpoint: Checkpoint) -> Mapping[type[Request], str]:
        return {Rank: "it gives no log-probabilities", Profile: "it gives no profiles"}

    def window(self, checkpoint: Checkpoint) -> int | None:
        return 3


def job_of(zoo: dict[str, Path], small_world: Path, tmp_path: Path, *tasks: str) -> Job:
    return make_job(
        (str(zoo["llama-lora"]),),
        tasks=tasks,
        include=(small_world / "tasks",),
        data_dir=small_world / "data",
        base=str(zoo["llama"]),
        limit=4,
        out=tmp_path / "out",
        store=tmp_path / "store.sqlite",
    )


def test_tasks_that_a_model_cannot_be_asked_are_named_before_anything_is_asked(
    zoo: dict[str, Path], small_world: Path, tmp_path: Path
) -> None:
    factory = WritingOnly(reply)
    with pytest.raises(
        UsageError, match=r"cannot be asked yes_no: it gives no log-probabilities.*--task echo"
    ) as caught:
        evaluate(job_of(zoo, small_world, tmp_path, "yes_no", "echo"), factory=factory)
    assert caught.value.exit_code == 2 and not factory.requests


def test_drift_that_a_model_cannot_be_asked_for_is_refused_before_anything_is_asked(
    zoo: dict[str, Path], small_world: Path, tmp_path: Path
) -> None:
    factory = WritingOnly(reply)
    job = job_with(job_of(zoo, small_world, tmp_path, "echo"), drift=True)
    with pytest.raises(UsageError, match="cannot be asked for its drift: it gives no profiles; leave out --drift"):
        evaluate(job, factory=factory)
    assert not factory.requests


def test_the_windows_are_those_that_the_engine_leaves(zoo: dict[str, Path], small_world: Path, tmp_path: Path) -> None:
    run_plan = make_run_plan(job_of(zoo, small_world, tmp_path, "echo"))
    assert {checkpoint.window for checkpoint in within_abilities(run_plan, WritingOnly(reply)).checkpoints} == {3}
    assert within_abilities(run_plan, ScriptedFactory(reply)) is run_plan
