"""One engine at a time: who is opened when and after whom, what the run counts of it, and that no result depends on
it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from evalharness.checkpoints import load as loading
from evalharness.engines.base import Engine
from evalharness.engines.scripted import ScriptedEngine, ScriptedFactory
from evalharness.errors import ModelError, NotComparableError, UsageError
from evalharness.records.job import Job
from evalharness.records.job_options import job_with, make_job
from evalharness.records.models import Checkpoint, EngineInfo, EngineSettings
from evalharness.records.requests import Generation, Ranking, Request, Response
from evalharness.run.evaluation import carry_out, evaluate
from evalharness.run.plan import make_run_plan
from evalharness.run.progress import SilentListener

MakeJob = Callable[..., Job]


def yes(request: Request) -> Response:
    if hasattr(request, "pairs"):
        return Ranking(request_id=request.id, logprobs=(-1.0, 0.0), tokens=(1, 1), greedy=(False, True))
    return Generation(request_id=request.id, text="yes", finish_reason="stop", tokens=1)


class Merging(ScriptedEngine):
    """Merged, its logits prefer token 0 after ten characters."""

    def merge_logits(self, texts):
        read = [text[:end] for text in texts for end in range(1, len(text) + 1)]
        apart = self.next_token_logits(read, adapter=True, path="score")
        return apart, apart + np.array([[100.0 * (len(some) > 10)] + [0.0] * 7 for some in read])


class Recording(ScriptedFactory):
    """Reuses weights: remembers after whom each was opened, and every engine."""

    def __init__(self, engine: type[ScriptedEngine] = ScriptedEngine, refuses: str = "") -> None:
        super().__init__(yes)
        self.engine, self.refuses = engine, refuses
        self.engines: list[ScriptedEngine] = []
        self.after: list[str | None] = []

    def open(self, checkpoint: Checkpoint, settings: EngineSettings) -> ScriptedEngine:
        if len(self.after) == len(self.engines):  # not opened by open_after
            self.after.append(None)
        if checkpoint.name == self.refuses:
            raise ModelError(checkpoint.name, "cannot be loaded")
        engine = super().open(checkpoint, settings)
        self.engines.append(self.engine(engine.info, checkpoint, engine._reply))
        return self.engines[-1]

    def open_after(self, previous: Engine, checkpoint: Checkpoint, settings: EngineSettings) -> ScriptedEngine:
        assert previous is self.engines[-1] and not self.engines[-1].closed, "an engine is left that nobody closes"
        self.after.append(self.opened_names[-1])
        return self.open(checkpoint, settings)


@pytest.fixture
def job(zoo: dict[str, Path], small_world: Path, tmp_path: Path) -> MakeJob:
    def make(*models: str, out: str = "out", **changes: object) -> Job:
        return make_job(
            models=tuple(name if "/" in name else f"{name}={zoo[name]}" for name in models or ("llama-lora",)),
            base=f"base={zoo['llama']}",
            tasks=("yes_no", "echo"),
            include=(small_world / "tasks",),
            data_dir=small_world / "data",
            out=tmp_path / out,
            store=tmp_path / "store.sqlite",
            **changes,
        )

    return make


def tuned(base: Path, directory: Path) -> Path:
    """The base with other weights."""
    shutil.copytree(base, directory)
    tensors = {name: 1.01 * tensor for name, tensor in load_file(base / "model.safetensors").items()}
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    return directory


def test_the_bases_weights_stay_from_their_first_proof_to_their_last_answer_and_others_are_loaded_once(
    job: MakeJob, zoo: dict[str, Path], tmp_path: Path
) -> None:
    full = tuned(zoo["llama"], tmp_path / "full")
    factory, asked = Recording(), job("llama-lora", str(full), "llama-prompt")
    results = evaluate(asked, factory=factory)
    adapters = ["llama-lora", "llama-prompt"]
    at_home = ["base", *adapters]
    assert factory.opened_names == [*adapters, *at_home, "full"]
    assert factory.after == [None, *factory.opened_names[:-1]]
    assert all(engine.closed for engine in factory.engines)
    told = json.loads((asked.output.folder / "run.json").read_text())
    assert told["loads"] == {str(full): 1, str(zoo["llama"]): 1}
    assert list(told["models"]) == [*at_home, "full"]
    for row in told["models"].values():
        assert row["prompt_tokens_per_second"] > 0 and row["answer_tokens_per_second"] > 0
        assert 0 < row["peak_process_bytes"] <= told["peak_memory_bytes"] and row["peak_device_bytes"] is None
    sizes = {model.name: (model.bytes, model.trainable) for model in results.models}
    assert {name: (row["on_disk_bytes"], row["trainable_parameters"]) for name, row in told["models"].items()} == sizes
    assert [model.name for model in results.models] == ["base", "llama-lora", "full", "llama-prompt"]
    assert list(dict.fromkeys(c.candidate for c in results.comparisons)) == ["llama-lora", "full", "llama-prompt"]


def test_results_do_not_depend_on_who_sat_when(job: MakeJob, zoo: dict[str, Path], tmp_path: Path) -> None:
    """A second run, for which only one model's answers are missing, leaves the same bytes."""
    full = tuned(zoo["llama"], tmp_path / "full")
    names = (str(full), "llama-lora")
    evaluate(job(*names, out="one"), factory=Recording())
    evaluate(job_with(job("llama-lora", out="other"), store=tmp_path / "second.sqlite"), factory=Recording())
    later = Recording()
    evaluate(job_with(job(*names, out="two"), store=tmp_path / "second.sqlite"), factory=later)
    assert set(later.opened_names) == {"full"}
    for name in ("results.json", "measurements.parquet"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_model_that_cannot_be_loaded_leaves_no_engine_open(job: MakeJob) -> None:
    factory = Recording(refuses="llama-prompt")
    with pytest.raises(ModelError, match="cannot be loaded"):
        evaluate(job("llama-lora", "llama-prompt"), factory=factory)
    assert factory.requests == []
    assert [engine.closed for engine in factory.engines] == [True]


def test_a_run_in_rounds_proves_all_before_it_asks(job: MakeJob, zoo: dict[str, Path], tmp_path: Path) -> None:
    """Its models take turns in memory while they answer: none is proven on the way."""
    full = str(tuned(zoo["llama"], tmp_path / "full"))
    factory = Recording(refuses="full")
    with pytest.raises(ModelError, match="cannot be loaded"):
        evaluate(job(full, until_decided=True), factory=factory)
    assert factory.requests == []
    later = Recording(refuses="full")
    with pytest.raises(NotComparableError, match="cannot be loaded"):
        evaluate(job(full), factory=later)
    assert later.opened_names == ["base"] and later.requests


def test_what_a_merge_would_move_is_said_in_every_run(job: MakeJob) -> None:
    class TrainingSource(SilentListener):
        said: tuple[str, ...] = ()

        def notice(self, text: str) -> None:
            self.said = (*self.said, text)

    first, second = TrainingSource(), TrainingSource()
    evaluate(job(), first, Recording(Merging))
    evaluate(job(), second, idle := Recording(Merging))
    (said,) = (text for text in first.said if "greedy tokens change" in text)
    assert said.startswith("llama-lora: merged into its weights in ") and " greedy tokens change" in said
    assert idle.opened_names == []
    assert said in second.said
    assert said in json.loads((job().output.folder / "run.json").read_text())["notices"]
    still = TrainingSource()
    evaluate(job_with(job(), store=job().output.store.with_name("third.sqlite")), still, Recording())
    assert not any("greedy tokens" in text for text in still.said)


class Served:
    """An engine of somebody else's: what an engine must have, and nothing beside."""

    def __init__(self, factory: ServedFactory, checkpoint: Checkpoint) -> None:
        self.info, self.factory, self.checkpoint = factory.describe(checkpoint, EngineSettings()), factory, checkpoint

    def answer(self, requests: Sequence[Request]) -> Iterator[Response]:
        assert self.factory.open_now == [self.checkpoint.name], "two are open at a time"
        return map(yes, requests)

    def close(self) -> None:
        self.factory.open_now.remove(self.checkpoint.name)


class ServedFactory:
    def __init__(self) -> None:
        self.open_now: list[str] = []
        self.opened = 0

    def describe(self, checkpoint: Checkpoint, settings: EngineSettings) -> EngineInfo:
        return EngineInfo(name="served", details={"version": 1})

    def open(self, checkpoint: Checkpoint, settings: EngineSettings) -> Served:
        self.open_now.append(checkpoint.name)
        self.opened += 1
        return Served(self, checkpoint)


def test_an_engine_with_nothing_beside_answers_and_the_results_say_that_adapters_are_unproven(
    job: MakeJob, tmp_path: Path
) -> None:
    run_job = job("llama-lora", describe=("efficiency",))
    factory, idle = ServedFactory(), ServedFactory()
    results = evaluate(run_job, factory=factory)
    assert factory.opened and factory.open_now == []
    assert not results.errors and results.comparisons
    assert results.signature["engine"] == {
        "name": "served",
        "fingerprint": factory.describe(None, None).fingerprint,
        "version": 1,
        "adapter_check": {"llama-lora": "not available"},
    }
    (notice,) = (
        text for text in json.loads((run_job.output.folder / "run.json").read_text())["notices"] if "unproven" in text
    )
    assert notice.startswith("llama-lora: its adapter is unproven")
    written = {name: (run_job.output.folder / name).read_bytes() for name in ("results.json", "measurements.parquet")}
    evaluate(run_job, factory=idle)
    assert idle.opened == 0 and written == {name: (run_job.output.folder / name).read_bytes() for name in written}


def test_an_engine_without_tokenizers_applies_no_chat_template(job: MakeJob) -> None:
    with pytest.raises(UsageError, match="--apply-chat-template: the engine served does not have its models' chat"):
        evaluate(job(apply_chat_template="all"), factory=ServedFactory())


def test_a_campaign_may_bring_its_own_contest(job: MakeJob) -> None:
    run_job = job("llama-lora", "llama-prompt")
    run_plan = make_run_plan(run_job)
    one = replace(run_plan, candidates=run_plan.candidates[1:])
    found = carry_out(run_job, one, SilentListener(), Recording())
    assert [model.name for model in found.models] == ["base", "llama-prompt"]


def test_every_checkpoint_of_a_folder(job: MakeJob, zoo: dict[str, Path], tmp_path: Path) -> None:
    for name in ("llama-lora", "llama-prompt"):
        shutil.copytree(zoo[name], tmp_path / "tuned" / name)
    results = evaluate(job(f"{tmp_path / 'tuned'}/*"), factory=Recording())
    assert [model.name for model in results.models] == ["base", "llama-lora", "llama-prompt"]


def test_three_adapters_on_one_base_read_its_weights_once(
    job: MakeJob, tiny: ModuleType, zoo: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the real engine, and each candidate answering as it does alone."""
    made = [tiny.make_adapter(zoo["llama"], tmp_path / f"r{rank}", tiny.lora(r=rank)) for rank in (2, 3, 4)]
    read, from_pretrained = list[str](), loading.from_pretrained

    def counted(directory: Path, **options: object) -> object:
        read.append(directory.name)
        return from_pretrained(directory, **options)

    monkeypatch.setattr(loading, "from_pretrained", counted)
    results = evaluate(job_with(job(*map(str, made)), limit=6))
    assert read == ["llama"]
    assert json.loads((tmp_path / "out/run.json").read_text())["loads"] == {str(zoo["llama"]): 1}
    alone = evaluate(job_with(job(str(made[2]), out="alone"), limit=6, store=tmp_path / "alone.sqlite"))
    together = [c for c in results.comparisons if c.candidate == "r4"]
    assert [(c.task, c.candidate_score, c.difference) for c in together] == [
        (c.task, c.candidate_score, c.difference) for c in alone.comparisons
    ]
    samples = "samples/echo/r4.jsonl"
    assert (tmp_path / "out" / samples).read_bytes() == (tmp_path / "alone" / samples).read_bytes()
    assert np.isfinite([c.difference.value for c in together]).all()


@pytest.mark.parametrize("step", ["describe", "open"])
def test_a_factory_that_raises_is_named(step: str, job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("no such server")

    monkeypatch.setattr(ServedFactory, step, fail)
    said = rf"engine ServedFactory: {step} raised OSError \(no such server\); mend it"
    with pytest.raises(NotComparableError, match=said):
        evaluate(job("llama-lora"), factory=ServedFactory())
