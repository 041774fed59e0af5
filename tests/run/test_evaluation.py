"""The whole road with an engine that has no model: who is asked what, how often, and what is left on disk."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import evalharness
from evalharness import results
from evalharness.analysis.gate import judge
from evalharness.engines.scripted import ScriptedFactory
from evalharness.errors import DataError, ModelError, StoreError, TaskError, UsageError
from evalharness.records.job import Job
from evalharness.records.job_options import job_with, make_job
from evalharness.records.policy import OnInconclusive, Policy
from evalharness.records.requests import Failure, Generate, Generation, Rank, Ranking, Request, Response
from evalharness.run.evaluation import evaluate


def says(word: str) -> Callable[[Request], Response | Failure]:
    """Prefers the choice `word`, writes `word`."""

    def reply(request: Request) -> Response | Failure:
        if isinstance(request, Rank):
            likely = [0.0 if continuation.strip() == word else -5.0 for _, continuation in request.pairs]
            return Ranking(
                request_id=request.id,
                logprobs=tuple(likely),
                tokens=tuple(1 for _ in likely),
                greedy=tuple(x == 0.0 for x in likely),
            )
        return Generation(request_id=request.id, text=word, finish_reason="stop", tokens=1)

    return reply


def parrot(request: Request) -> Response | Failure:
    """Right about `echo`, always yes about `yes_no`."""
    return (
        Generation(request_id=request.id, text=request.prompt[:-2], finish_reason="stop", tokens=3)
        if isinstance(request, Generate)
        else says("yes")(request)
    )


@pytest.fixture
def job(zoo: dict[str, Path], small_world: Path, tmp_path: Path) -> Callable[..., Job]:
    def make(*models: str | Path, **changes: object) -> Job:
        return make_job(
            models=tuple(
                str(name) if "/" in str(name) else f"{name}={zoo[str(name)]}" for name in models or ("llama-lora",)
            ),
            base=f"base={zoo['llama']}",
            include=(small_world / "tasks",),
            data_dir=small_world / "data",
            out=tmp_path / "out",
            store=tmp_path / "store.sqlite",
            **{"tasks": ("yes_no", "echo"), **changes},
        )

    return make


def asked_of(factory: ScriptedFactory) -> dict[str, int]:
    names = [name for name, _ in factory.requests]
    return {name: names.count(name) for name in names}


def by_task(found: evalharness.Results, candidate: str) -> dict[str, evalharness.Comparison]:
    return {c.task: c for c in found.comparisons if c.candidate == candidate and c.primary and c.level == "task"}


def test_a_run_leaves_everything_and_says_what_was_forgotten(job: Callable[..., Job]) -> None:
    factory = ScriptedFactory(parrot, {"llama-lora": says("yes")})
    run_job = job()
    outcome = evaluate(run_job, factory=factory)
    echo, yes_no = by_task(outcome, "llama-lora")["echo"], by_task(outcome, "llama-lora")["yes_no"]
    assert (echo.verdict, echo.lost, echo.gained, echo.base.value, echo.candidate_score.value) == (
        "forgotten",
        30,
        0,
        1.0,
        0.0,
    )
    assert (yes_no.difference.value, yes_no.verdict) == (0.0, "inconclusive")  # base at chance
    assert asked_of(factory) == {"base": 60, "llama-lora": 60}
    left = {str(path.relative_to(run_job.output.folder)) for path in run_job.output.folder.rglob("*") if path.is_file()}
    samples = {f"samples/{task}/{model}.jsonl" for task in ("yes_no", "echo") for model in ("base", "llama-lora")}
    assert left == {"results.json", "measurements.parquet", "run.json", *samples}
    assert len(outcome.flips) == 30
    assert {flip.direction for flip in outcome.flips} == {"lost"}
    assert results.read_results(run_job.output.folder) == outcome
    assert [model.kind for model in outcome.models] == ["base", "lora"]


def test_the_second_run_asks_nothing_loads_nothing_and_leaves_the_same_bytes(job: Callable[..., Job]) -> None:
    run_job = job("llama-lora", "llama-prompt")
    evaluate(run_job, factory=ScriptedFactory(parrot))
    first = {
        path.name: path.read_bytes()
        for path in run_job.output.folder.iterdir()
        if path.is_file() and path.name != "run.json"
    }
    idle = ScriptedFactory(says("never"))
    evaluate(run_job, factory=idle)
    assert (idle.opened_names, idle.requests) == ([], [])
    assert {
        path.name: path.read_bytes()
        for path in run_job.output.folder.iterdir()
        if path.is_file() and path.name != "run.json"
    } == first


@pytest.mark.fault(11)
def test_a_shared_store_never_serves_one_model_for_another(
    job: Callable[..., Job], zoo: dict[str, Path], tmp_path: Path
) -> None:
    """Base, full, LoRA and prompt on one store; then renamed (nothing is asked) and retrained in place (everything
    is).
    """
    full = Path(shutil.copytree(zoo["llama"], tmp_path / "full"))
    _retrain(full / "model.safetensors", 1.25)
    answers = {"base": says("yes"), "full": parrot, "llama-lora": says("no"), "llama-prompt": says("other")}
    factory = ScriptedFactory(parrot, answers)
    outcome = evaluate(job(full, "llama-lora", "llama-prompt"), factory=factory)
    assert asked_of(factory) == dict.fromkeys(answers, 60)
    scores = {
        name: by_task(outcome, name)["echo"].candidate_score.value for name in ("full", "llama-lora", "llama-prompt")
    }
    assert scores == {"full": 1.0, "llama-lora": 0.0, "llama-prompt": 0.0}

    renamed = ScriptedFactory(parrot)
    again = evaluate(job(full.rename(tmp_path / "other-name"), "llama-lora", "llama-prompt"), factory=renamed)
    assert renamed.requests == []
    assert by_task(again, "other-name")["echo"].candidate_score.value == 1.0

    _retrain(tmp_path / "other-name" / "model.safetensors", 1.5)
    retrained = ScriptedFactory(says("lost"))
    after = evaluate(job(tmp_path / "other-name", "llama-lora", "llama-prompt"), factory=retrained)
    assert asked_of(retrained) == {"other-name": 60}
    assert by_task(after, "other-name")["echo"].candidate_score.value == 0.0


def _retrain(weights: Path, factor: float) -> None:
    tensors = {
        name: tensor * factor if tensor.dtype == torch.float32 else tensor
        for name, tensor in load_file(weights).items()
    }
    save_file(tensors, weights, metadata={"format": "pt"})


@pytest.mark.fault(35)
def test_what_failed_is_trouble_never_a_score(job: Callable[..., Job]) -> None:
    def broken(request: Request) -> Response | Failure:
        return (
            Failure(request_id=request.id, reason="non-finite logits")
            if isinstance(request, Generate) and " 1" in request.prompt
            else parrot(request)
        )

    outcome = evaluate(job(), factory=ScriptedFactory(parrot, {"llama-lora": broken}))
    echo = by_task(outcome, "llama-lora")["echo"]
    assert {t.model for t in outcome.errors} == {"llama-lora"}
    assert echo.n == 30 - len(outcome.errors)
    assert (echo.candidate_score.value, "incomplete" in echo.flags) == (1.0, True)
    retried = ScriptedFactory(parrot)
    assert evaluate(job(), factory=retried).errors == ()
    assert asked_of(retried) == {"llama-lora": 30}  # the block with the failures, whole


@pytest.mark.fault(35)
def test_prompts_that_cannot_fit_are_troubles_of_their_examples(
    job: Callable[..., Job], tmp_path: Path, small_world: Path
) -> None:
    rows = [json.loads(line) for line in (small_world / "data/local/echo/default/test.jsonl").read_text().splitlines()]
    rows[3]["text"] = "word " * 200
    (tmp_path / "long.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    outcome = evaluate(job(data={"echo": tmp_path / "long.jsonl"}), factory=ScriptedFactory(parrot))
    assert {(t.task, t.example.split("-")[0]) for t in outcome.errors} == {("echo", "3")}
    assert by_task(outcome, "llama-lora")["echo"].n == 29


@pytest.mark.fault(35)
def test_a_run_in_which_no_prompt_fits_is_incomplete_and_no_crash(job: Callable[..., Job], tmp_path: Path) -> None:
    (tmp_path / "long.jsonl").write_text(json.dumps({"text": "word " * 200}) + "\n")
    outcome = evaluate(job(data={"echo": tmp_path / "long.jsonl"}, tasks=("echo",)), factory=ScriptedFactory(parrot))
    assert {error.model for error in outcome.errors} == {"base", "llama-lora"}
    assert judge(outcome, Policy(on_inconclusive=OnInconclusive.PASS)).exit_code == 5


def test_limit_and_seed_choose_the_same_examples_for_all(job: Callable[..., Job]) -> None:
    outcome = evaluate(job(limit=10), factory=ScriptedFactory(parrot))
    assert {(c.n, c.available) for c in by_task(outcome, "llama-lora").values()} == {(10, 30)}
    one = results.read_samples(job().output.folder, "echo", "base")
    assert [s.id for s in one] == [s.id for s in results.read_samples(job().output.folder, "echo", "llama-lora")]


def test_margins_reach_their_tasks(job: Callable[..., Job]) -> None:
    outcome = evaluate(job(margin=0.1, margins={"echo": 0.3}), factory=ScriptedFactory(parrot))
    assert {name: c.margin for name, c in by_task(outcome, "llama-lora").items()} == {"yes_no": 0.1, "echo": 0.3}
    assert [c.margin for c in outcome.comparisons if c.level == "suite"] == [1.0]


def test_the_target_is_measured_beyond_the_selection(job: Callable[..., Job]) -> None:
    learned = ScriptedFactory(says("x"), {"llama-lora": parrot})
    outcome = evaluate(job_with(job(), tasks=("yes_no",), target="echo"), factory=learned)
    row = outcome.models[1]
    assert (row.target_task, row.learned_target) == ("echo", True)
    assert row.target_gain is not None
    assert row.target_gain.value == 1.0


def test_evaluate_from_python_is_the_same(job: Callable[..., Job]) -> None:
    run_job = job()
    outcome = evalharness.evaluate(
        run_job.models.candidates,
        factory=ScriptedFactory(parrot),
        base=run_job.models.base,
        tasks=run_job.tasks.names,
        include=run_job.tasks.include,
        data_dir=run_job.data.folder,
        out=run_job.output.folder,
        store=run_job.output.store,
    )
    assert isinstance(outcome, evalharness.Results)
    assert (run_job.output.folder / "results.json").is_file()


def test_evaluate_takes_texts_for_paths_and_one_for_a_list(
    zoo: dict[str, Path], small_world: Path, tmp_path: Path
) -> None:
    outcome = evalharness.evaluate(
        str(zoo["llama-lora"]),
        base=zoo["llama"],
        tasks="echo",
        include=str(small_world / "tasks"),
        data_dir=str(small_world / "data"),
        out=str(tmp_path / "out"),
        store=str(tmp_path / "store.sqlite"),
        factory=ScriptedFactory(parrot),
    )
    assert [model.name for model in outcome.models] == ["llama", "llama-lora"]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"tasks": ()}, UsageError, "no task to evaluate"),
        ({"tasks": ("yes_n",)}, TaskError, "yes_no"),
        ({"suite": "forgeting"}, TaskError, "forgetting"),
        ({"target": "nothing"}, TaskError, "nothing"),
        ({"margins": {"sst2": 0.1}}, UsageError, "no task or group 'sst2'"),
        (
            {"data": {"ecko": Path("rows.jsonl")}},
            UsageError,
            "no task or data set of this command is called 'ecko'; did you mean echo",
        ),
        ({"alpha": 0.5}, UsageError, "0.5 is no error rate"),
        ({"margins": {"echo": -0.1}}, UsageError, "no acceptable loss"),
        ({"margin": float("nan")}, UsageError, "no acceptable loss"),
        ({"models": ()}, UsageError, "no candidate"),
        ({"data_dir": Path("/nowhere")}, DataError, "/nowhere"),
        ({"split": "validation"}, DataError, "validation"),
        ({"base": "/nowhere"}, ModelError, "/nowhere"),
        ({"out": Path("/dev/null/out")}, StoreError, "cannot write here"),
        ({"store": Path("/dev/null/store")}, StoreError, "cannot be used as the store"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_asked(
    job: Callable[..., Job], changes: dict[str, object], error: type[Exception], message: str
) -> None:
    factory = ScriptedFactory(parrot)
    with pytest.raises(error, match=message):
        evaluate(job_with(job(), **changes), factory=factory)
    assert factory.requests == []


def test_two_checkpoints_of_one_name_are_told_apart_first(job: Callable[..., Job], zoo: dict[str, Path]) -> None:
    models: Sequence[str] = (f"same={zoo['llama-lora']}", f"same={zoo['llama-prompt']}")
    with pytest.raises(UsageError, match="have this name"):
        evaluate(job_with(job(), models=tuple(models)), factory=ScriptedFactory(parrot))


def test_a_candidate_without_a_base_needs_one_named(job: Callable[..., Job], zoo: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match="--base"):
        evaluate(job_with(job(), models=(str(zoo["gpt2"]),), base=None), factory=ScriptedFactory(parrot))


def test_candidates_of_different_bases_are_refused(job: Callable[..., Job], zoo: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match="different bases"):
        evaluate(job_with(job("llama-lora", "gpt2-lora"), base=None), factory=ScriptedFactory(parrot))
