"""Runs of scripted models, for commands that read what runs left, and a repository to run them in."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from evalharness.engines.scripted import ScriptedFactory
from evalharness.records.job_options import make_job
from evalharness.records.requests import Failure, Generation, Ranking, Request, Response
from evalharness.run.evaluation import evaluate

MakeRun = Callable[..., Path]


@pytest.fixture(autouse=True)
def _files_checked_once(files_checked_once: None) -> None: ...


def right_about(share: int) -> Callable[[Request], Response]:
    """Echoes where the number at the end of the text is at least `share`; always "no"."""

    def reply(request: Request) -> Response:
        if hasattr(request, "pairs"):
            return Ranking(request_id=request.id, logprobs=(0.0, -1.0), tokens=(1, 1), greedy=(True, False))
        text = request.prompt[:-2]
        return Generation(
            request_id=request.id, text=text if int(text.split()[-1]) >= share else "?", finish_reason="stop", tokens=1
        )

    return reply


def unanswered_from(number: int) -> Callable[[Request], Response | Failure]:
    """Right about the echoes below `number`, without an answer to the others."""

    def reply(request: Request) -> Response | Failure:
        if hasattr(request, "prompt") and int(request.prompt[:-2].split()[-1]) >= number:
            return Failure(request_id=request.id, reason="deaf")
        return right_about(0)(request)

    return reply


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of a repository, which is the working directory."""
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def make_run(zoo: dict[str, Path], small_world: Path, tmp_path: Path) -> MakeRun:
    """A run of `base` (right about everything) against candidates that are wrong about the first so many of 30
    echoes.
    """

    def make(folder: str, wrong: dict[str, int], deaf: Collection[str] = (), **changes: object) -> Path:
        kinds = ("llama-lora", "llama-prompt")
        replies = {name: unanswered_from(25) if name in deaf else right_about(share) for name, share in wrong.items()}
        job = make_job(
            models=tuple(f"{name}={zoo[kind]}" for name, kind in zip(wrong, kinds, strict=False)),
            data_dir=small_world / "data",
            out=tmp_path / folder,
            store=tmp_path / f"{folder}.sqlite",
            **{
                "base": f"base={zoo['llama']}",
                "target": "none",
                "tasks": ("echo", "yes_no"),
                "include": (small_world / "tasks",),
                **changes,
            },
        )
        evaluate(job, factory=ScriptedFactory(right_about(0), replies))
        return job.output.folder

    return make
