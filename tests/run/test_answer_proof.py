"""An engine of somebody else's, which cannot switch an adapter off, is asked whether it changes an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from evalharness.engines.answer_check import REQUESTS
from evalharness.errors import ModelError
from evalharness.records.job import Job
from evalharness.records.job_options import make_job
from evalharness.records.models import Checkpoint, EngineInfo, EngineSettings
from evalharness.records.requests import Generation, Rank, Ranking, Request, Response
from evalharness.run.evaluation import evaluate

MakeJob = Callable[..., Job]


class Foreign:
    """Moves every log-probability by `moves` where it knows the adapter."""

    def __init__(self, info: EngineInfo, moved: float) -> None:
        self.info, self.moved = info, moved

    def answer(self, requests: Sequence[Request]) -> Iterator[Response]:
        for request in requests:
            if isinstance(request, Rank):
                n = len(request.pairs)
                logprobs = tuple(-i - self.moved for i in range(n))
                yield Ranking(request_id=request.id, logprobs=logprobs, tokens=(1,) * n, greedy=(False,) * n)
            else:
                yield Generation(request_id=request.id, text="same", finish_reason="eos", tokens=1)

    def close(self) -> None:
        pass


class ForeignFactory:
    def __init__(self, moves: float) -> None:
        self.moves, self.opened = moves, list[str]()

    def describe(self, checkpoint: Checkpoint, settings: EngineSettings) -> EngineInfo:
        return EngineInfo(name="foreign", details={"version": 1})

    def open(self, checkpoint: Checkpoint, settings: EngineSettings) -> Foreign:
        self.opened.append(checkpoint.name)
        return Foreign(self.describe(checkpoint, settings), self.moves if checkpoint.adapter else 0.0)


@pytest.fixture
def job(zoo: dict[str, Path], small_world: Path, tmp_path: Path) -> MakeJob:
    def make(**changes: object) -> Job:
        places = {"out": tmp_path / "out", "store": tmp_path / "store.sqlite", "data_dir": small_world / "data"}
        tasks = {"tasks": ("yes_no",), "include": (small_world / "tasks",), "limit": 6}
        models = (f"tuned={zoo['llama-lora']}", f"other={zoo['llama-prompt']}")
        return make_job(models=models, base=f"plain={zoo['llama']}", **{**places, **tasks, **changes})  # type: ignore[arg-type]

    return make


def test_adapters_that_move_an_answer_are_proven_and_the_base_is_opened_once_for_it(job: MakeJob) -> None:
    factory, again = ForeignFactory(0.01), ForeignFactory(0.01)
    results = evaluate(job(), factory=factory)
    assert "adapter_check" not in results.signature["engine"] and "unchanged" not in results.signature
    assert factory.opened.count("plain") == 2 and len(REQUESTS) == 64
    evaluate(job(), factory=again)
    assert again.opened == []


def test_an_adapter_that_moves_none_is_refused_before_a_task_is_asked(job: MakeJob) -> None:
    with pytest.raises(ModelError, match=r"^tuned: answers 64 short requests as its base does") as refused:
        evaluate(job(), factory=ForeignFactory(0.0))
    assert refused.value.exit_code == 2
    results = evaluate(job(allow_noop=True), factory=ForeignFactory(0.0))
    assert results.signature["unchanged"] == dict.fromkeys(("tuned", "other"), "the adapter changes no logit")
