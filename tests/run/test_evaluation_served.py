"""Whole runs over models behind a server, on real sockets."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_models
from invented_models import Invented, InventedServer, inventing
from openai_server import load, serving_models, with_lora

from evalharness.errors import ModelError, NotComparableError, UsageError
from evalharness.paths import shipped
from evalharness.records.job import Job
from evalharness.records.job_options import job_with, make_job
from evalharness.records.models import EngineSettings
from evalharness.run.evaluation import evaluate
from evalharness.run.plan import make_run_plan
from evalharness.run.progress import SilentListener
from evalharness.store.contents import facts

MakeJob = Callable[..., Job]
Models = Mapping[str, Invented]


@pytest.fixture
def files_checked_once() -> None:
    """What was found out about a server's models is beside each store, and not shared."""


@pytest.fixture
def job(small_world: Path, tmp_path: Path) -> MakeJob:
    def make(*models: str, task: str = "echo", **changes: object) -> Job:
        places = {"out": tmp_path / "out", "store": tmp_path / "store.sqlite", "data_dir": small_world / "data"}
        tasks = {"tasks": (task,), "include": (small_world / "tasks",), "limit": 6}
        return make_job(models=models, engine="openai", **{**places, **tasks, **changes})  # type: ignore[arg-type]

    return make


def tuned(number: int = 1) -> Invented:
    return Invented(weights=f"tuned {number}", entry={"parent": "base"})


@contextmanager
def served(models: Models) -> Iterator[InventedServer]:
    with inventing({"base": Invented(), **models}, ways="completions") as server:
        yield server


def computed(job: Job) -> dict[str, int]:
    run = json.loads((job.output.folder / "run.json").read_text())
    return {name: row["computed"] for name, row in run["models"].items()}


def test_a_run_is_not_asked_again_wherever_and_by_whatever_name_the_same_weights_answer(job: MakeJob) -> None:
    with served({"a": tuned()}) as server:
        run_job = job(server.address("a"))
        results = evaluate(run_job)
    assert not results.errors and computed(run_job) == {"base": 6, "a": 6}
    before = (run_job.output.folder / "results.json").read_bytes()
    with served({"org/other:2": tuned()}) as server:
        again = job(f"a={server.address('org/other:2')}")
        evaluate(again)
    assert computed(again) == {"base": 0, "a": 0}
    assert (again.output.folder / "results.json").read_bytes() == before


def test_texts_are_counted_by_the_server(job: MakeJob) -> None:
    with inventing({"base": Invented(), "a": tuned()}) as server:
        results = evaluate(job(server.address("a")))
    assert not results.errors and any(seen.path == "/tokenize" for seen in server.seen)


def test_nothing_is_taken_from_a_server_with_other_weights(job: MakeJob) -> None:
    for moved in (0.0, 1e-3):
        with served({"a": Invented(weights="tuned", moved=moved, entry={"parent": "base"})}) as server:
            run_job = job(server.address("a"))
            evaluate(run_job)
            assert computed(run_job)["a"] == 6


@pytest.mark.slow
def test_where_prompts_are_chats_a_model_is_told_by_them(job: MakeJob) -> None:
    settings = EngineSettings(name="openai", options={"endpoint": "chat"})
    for system, computed_anew in (("", 6), ("Be brief. ", 6), ("", 0)):
        models = {"base": Invented(system=system), "a": Invented(weights="a", system=system)}
        with inventing(models, ways="completions chat/completions") as server:
            asked = replace(job(server.address("a"), base=server.address("base")), engine=settings)
            evaluate(asked)
        assert computed(asked) == {"base": computed_anew, "a": computed_anew}
        assert {seen.path for seen in server.seen if "completions" in seen.path} == {"/v1/chat/completions"}


def test_what_a_server_does_not_say_is_null_and_no_number(job: MakeJob) -> None:
    with served({"a": tuned()}) as server:
        run_job = job(server.address("a"))
        evaluate(run_job)
    document = json.loads((run_job.output.folder / "results.json").read_text())
    row = document["models"][1]
    sizes = [row[key] for key in ("parameters", "trainable", "trainable_share", "bytes")]
    assert row["kind"] == "served" and sizes == [None] * 4
    assert server.url not in json.dumps(document)


def test_of_several_adapters_the_one_that_is_not_applied_is_refused_by_name(job: MakeJob) -> None:
    models = {f"lora{i}": tuned(i) for i in range(3)} | {"lora1": Invented(entry={"parent": "base"})}
    with served(models) as server:
        addresses = [server.address(name) for name in models]
        with pytest.raises(
            ModelError, match=r"^lora1: gives the answers of its base base to all 64.*--allow-noop"
        ) as no:
            evaluate(job(*addresses))
        assert no.value.exit_code == 2
        assert {seen.body["max_tokens"] for seen in server.seen if seen.path == "/v1/completions"} == {8}  # probes
        run_plan = make_run_plan(job(*addresses, allow_noop=True))
    assert run_plan.unchanged == {"lora1": "it answers as its base does"}


def test_base_and_candidate_on_two_servers_are_held_against_each_other(job: MakeJob) -> None:
    with (
        served({}) as one,
        inventing({"copy": Invented()}, ways="completions") as other,
        pytest.raises(ModelError, match=r"^copy: gives the answers of its base"),
    ):
        make_run_plan(job(other.address("copy"), base=one.address("base")))


@pytest.mark.slow
def test_an_adapter_that_is_not_applied_is_told_from_an_earlier_runs_base_in_another_store(
    job: MakeJob, tmp_path: Path
) -> None:
    with served({"base": Invented(noise=1e-5), "a": tuned(), "b": Invented(noise=1e-5)}) as server:
        evaluate(asked := job(server.address("a"), base=server.address("base")))
        before = {"baseline": asked.output.folder, "store": tmp_path / "other.sqlite", "out": tmp_path / "later"}
        with pytest.raises(ModelError, match=r"^b: gives the answers of its base base to all 64"):
            evaluate(job(server.address("b"), **before))
        (asked.output.folder / "probes.json").unlink()
        (notice,) = [text for text in make_run_plan(job(server.address("b"), **before)).notices if "b: " in text]
        assert "whether its adapter is applied is not known" in notice


@pytest.mark.slow
def test_candidates_that_answer_alike_are_noticed(job: MakeJob) -> None:
    with served({"a": tuned(), "b": tuned()}) as server:
        run_plan = make_run_plan(job(server.address("a"), server.address("b")))
    assert "a and b are one model under two names" in run_plan.notices


@pytest.mark.parametrize("at", [pytest.param("a: echo", marks=pytest.mark.slow), "after its answers"])
def test_weights_exchanged_during_a_run_end_it_and_no_answer_of_theirs_is_kept(job: MakeJob, at: str) -> None:
    class Exchanging(SilentListener):
        """Exchanges the weights when the candidate is asked its task, or once it answered its only block."""

        phases: tuple[str, ...] = ()

        def phase(self, name: str) -> None:
            self.phases = (*self.phases, name)
            self.exchange(name)

        def advance(self, stored: int = 0, computed: int = 0) -> None:
            if "a: echo" in self.phases:
                self.exchange("after its answers")

        def exchange(self, now: str) -> None:
            if now == at:
                server.models["a"] = Invented(weights="tuned 1", moved=1e-3)

    with served({"a": tuned()}) as server:
        run_job = job(server.address("a"))
        model = make_run_plan(run_job).candidates[0].fingerprint
        with pytest.raises(NotComparableError, match="answers with other weights than before") as ended:
            evaluate(run_job, Exchanging())
    assert ended.value.exit_code == 5
    stored = facts(run_job.output.store).sources
    assert sum(sum(source.answers.values()) for source in stored if source.model == model) == 0


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"placebo": True}, "--placebo: no adapter can be put on base"),
        ({"precision": "nf4"}, "--precision: a is loaded by its server"),
        ({"engine": "hf"}, "is a model behind a server, and the engine hf reads files"),
    ],
)
def test_what_a_server_cannot_do_is_refused(job: MakeJob, options: dict[str, object], what: str) -> None:
    with served({"a": tuned()}) as server, pytest.raises(UsageError, match=what):
        make_run_plan(job_with(job(server.address("a")), **options))  # type: ignore[arg-type]


def test_files_are_refused_by_the_engine_of_servers(job: MakeJob, zoo: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match="is no model behind a server, as the engine openai asks them"):
        make_run_plan(job(str(zoo["llama-lora"])))


@pytest.mark.slow
def test_one_of_eight_lora_modules_over_a_real_model_is_not_applied(job: MakeJob, tmp_path: Path) -> None:
    base = shipped("fixtures/models/tiny-base")
    adapter = tiny_models.make_adapter(base, tmp_path / "lora", tiny_models.lora(r=2))
    models = {f"lora{i}": with_lora(base, adapter, "base") for i in range(8)}
    for number, model in enumerate(models.values()):
        for name, parameter in model.model.named_parameters():
            if "lora_B" in name:
                parameter.data.normal_(std=0.002 * (number + 1))
    models["lora5"] = load(base, parent="base")
    with serving_models({"base": load(base), **models}) as server:
        run_plan = make_run_plan(job(*(f"{server.url}#{name}" for name in models), allow_noop=True))
    assert run_plan.unchanged == {"lora5": "it answers as its base does"}
    assert len({checkpoint.fingerprint for checkpoint in run_plan.checkpoints}) == 8


def test_recognition_and_answers_share_one_budget(job: MakeJob) -> None:
    with served({"a": tuned()}) as server:
        options = {"most_requests": "300", "concurrency": "3", "wait": "0.001"}
        run_job = job(server.address("a"), engine_options=options)
        with pytest.raises(NotComparableError, match="all 300 requests"):
            evaluate(run_job)
        before = 1  # which model it was made of is asked before the run's own requests
        assert len(server.seen) <= before + 300 and server.most_running <= 3
