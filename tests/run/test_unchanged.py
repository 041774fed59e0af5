"""A candidate that is its base over again is refused before anything is asked; with --allow-noop the results say it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from evalharness.engines.scripted import ScriptedFactory
from evalharness.errors import ModelError
from evalharness.records.job import Job
from evalharness.records.job_options import make_job
from evalharness.records.requests import Rank, Ranking, Request, Response
from evalharness.report.page import render
from evalharness.report.terminal import verdict_lines
from evalharness.run.evaluation import evaluate

MakeJob = Callable[..., Job]


@pytest.fixture
def job(zoo: dict[str, Path], small_world: Path, tmp_path: Path) -> MakeJob:
    def make(*models: Path, **changes: object) -> Job:
        places = {"out": tmp_path / "out", "store": tmp_path / "store.sqlite", "data_dir": small_world / "data"}
        tasks = {"tasks": ("yes_no",), "include": (small_world / "tasks",), "limit": 6}
        return make_job(models=models, **{"base": f"plain={zoo['llama']}", **places, **tasks, **changes})  # type: ignore[arg-type]

    return make


@pytest.fixture
def copy(zoo: dict[str, Path], tmp_path: Path) -> Path:
    return shutil.copytree(zoo["llama"], tmp_path / "tuned")


def resharded(copy: Path) -> Path:
    """The same tensors in two files of other names, which an index lists."""
    whole = copy / "model.safetensors"
    tensors = load_file(whole)
    whole.unlink()
    names, weight_map = sorted(tensors, reverse=True), {}
    for part, file in ((names[::2], "a.safetensors"), (names[1::2], "b.safetensors")):
        save_file({name: tensors[name] for name in part}, copy / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    (copy / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return copy


def answer(request: Request) -> Response:
    """Always the first choice."""
    assert isinstance(request, Rank)
    n = len(request.pairs)
    values = tuple(-float(i) for i in range(n))
    return Ranking(request_id=request.id, logprobs=values, tokens=(1,) * n, greedy=(False,) * n)


@pytest.mark.parametrize("change", [lambda copy: copy, resharded])
def test_a_copy_of_the_base_is_refused_before_anything_is_asked(
    job: MakeJob, copy: Path, change: Callable[[Path], Path]
) -> None:
    factory = ScriptedFactory(answer)
    with pytest.raises(ModelError, match=r"^tuned: has the very weights of its base plain,.*--allow-noop") as refused:
        evaluate(job(change(copy)), factory=factory)
    assert refused.value.exit_code == 2 and factory.requests == []


@pytest.mark.parametrize("change", [lambda copy: copy, resharded])
def test_where_it_is_allowed_the_results_say_it(
    job: MakeJob, copy: Path, tmp_path: Path, change: Callable[[Path], Path]
) -> None:
    results = evaluate(job(change(copy), allow_noop=True), factory=ScriptedFactory(answer))
    assert results.signature["unchanged"] == {"tuned": "its base's very weights"}
    assert "tuned is its base's very weights" in json.loads((tmp_path / "out" / "run.json").read_text())["notices"]
    assert "  tuned changes nothing: its base's very weights" in list(verdict_lines(results))
    assert "nothing was changed: its base&#39;s very weights" in render(results)


def test_equal_weights_that_may_answer_otherwise_get_a_notice(job: MakeJob, copy: Path, tmp_path: Path) -> None:
    (copy / "chat_template.jinja").write_text("{{ messages[0].content }}")
    (copy / "generation_config.json").write_text('{"repetition_penalty": 1.3}')
    results = evaluate(job(copy), factory=ScriptedFactory(answer))
    assert "unchanged" not in results.signature
    (notice,) = (text for text in json.loads((tmp_path / "out" / "run.json").read_text())["notices"] if "very" in text)
    assert notice.startswith("tuned: its weights are its base's very weights; what differs from plain is ")
    assert notice.endswith("chat_template.jinja, generation_config.json")


def test_one_value_or_type_that_differs_is_another_model(job: MakeJob, copy: Path) -> None:
    tensors = load_file(copy / "model.safetensors")
    name = max(tensors)
    tensors[name].view(-1)[-1] += 1
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    halved = shutil.copytree(copy, copy.with_name("halved"))
    save_file({key: one.bfloat16() for key, one in tensors.items()}, halved / "model.safetensors")
    results = evaluate(job(copy, halved), factory=ScriptedFactory(answer))
    assert "unchanged" not in results.signature


def test_an_adapter_of_zeros_that_is_allowed_is_said_to_be_one(
    job: MakeJob, tiny: object, zoo: dict[str, Path], tmp_path: Path
) -> None:
    noop = tiny.make_adapter(zoo["llama"], tmp_path / "noop", tiny.lora(), trained=False)  # type: ignore[attr-defined]
    results = evaluate(job(noop, allow_noop=True, device="cpu"))
    assert results.signature["unchanged"] == {"noop": "the adapter changes no logit"}
    notices = json.loads((tmp_path / "out" / "run.json").read_text())["notices"]
    assert "noop: the adapter changes no logit: it answers as its base does" in notices
