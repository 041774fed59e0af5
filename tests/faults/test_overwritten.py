"""Whoever writes over a checkpoint's files while it answers: what is kept was answered by the bytes that were
fingerprinted.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

import evalharness
from evalharness.checkpoints import load as loading
from evalharness.checkpoints.recognise import recognise
from evalharness.engines.hf.engine import FACTORY
from evalharness.errors import EvalHarnessError, ModelError
from evalharness.records.models import Checkpoint, EngineInfo, EngineSettings
from evalharness.records.requests import Failure, Generate, Rank, Request, Response

WEIGHTS, ADAPTER = "model.safetensors", "adapter_model.safetensors"
CHANGES = {
    "config.json": {"rms_norm_eps": 0.1},
    "generation_config.json": {"repetition_penalty": 1.5},
    "tokenizer.json": {"normalizer": {"type": "Lowercase"}},
    "tokenizer_config.json": {"add_prefix_space": True},
    "adapter_config.json": {"lora_alpha": 64},
}
SETTINGS = EngineSettings(device="cpu")


class Watched:
    """An engine that tells of every block that it has answered."""

    def __init__(self, engine, answered: Callable[[], object]) -> None:
        self.engine, self.info, self.answered = engine, engine.info, answered
        self.next_token_logits = engine.next_token_logits

    def answer(self, requests: Sequence[Request]) -> Iterator[Response | Failure]:
        yield from list(self.engine.answer(requests))
        self.answered()

    def close(self) -> None:
        self.engine.close()


class WatchedFactory:
    """Opens engines of transformers. `tell` hears what happens: "opening NAME", "answered NAME"."""

    def __init__(self, tell: Callable[[str], object]) -> None:
        self.tell = tell

    def describe(self, checkpoint: Checkpoint, settings: EngineSettings) -> EngineInfo:
        return FACTORY.describe(checkpoint, settings)

    def open(self, checkpoint: Checkpoint, settings: EngineSettings) -> Watched:
        self.tell(f"opening {checkpoint.name}")
        return Watched(FACTORY.open(checkpoint, settings), lambda: self.tell(f"answered {checkpoint.name}"))


def overwrite(path: Path, content: bytes) -> None:
    """In place, its times put back, as `cp --preserve` or a synchronising tool does."""
    stat = path.stat()
    with path.open("r+b") as file:
        file.write(content)
        file.truncate()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def scaled(path: Path) -> bytes:
    """Another file of the same size and header."""
    other = path.with_name("other.safetensors")
    save_file({name: tensor * 1.5 for name, tensor in load_file(path).items()}, other, metadata={"format": "pt"})
    content = other.read_bytes()
    other.unlink()
    assert len(content) == path.stat().st_size
    return content


def other_content(path: Path) -> bytes:
    if path.suffix == ".safetensors":
        return scaled(path)
    return json.dumps({**json.loads(path.read_text()), **CHANGES[path.name]}).encode()


@pytest.fixture
def copies(zoo, tmp_path) -> Path:
    """Checkpoints `base`, `full`, `lora`."""
    for name, of in (("base", "llama"), ("full", "llama"), ("lora", "llama-lora")):
        shutil.copytree(zoo[of], tmp_path / name)
    (tmp_path / "full" / WEIGHTS).write_bytes(scaled(tmp_path / "full" / WEIGHTS))
    return tmp_path


PLACES = {"full": [WEIGHTS, *list(CHANGES)[:-1]], "lora": [ADAPTER, "adapter_config.json"]}


@pytest.mark.fault(10)
@pytest.mark.parametrize("name", PLACES)
def test_an_engine_that_is_open_answers_as_before_and_another_is_refused(name, copies, record_property) -> None:
    base, folder = copies / "base", copies / name
    requests = [
        Rank(pairs=(("the cat sat on", " a"), ("the cat", " the mat"))),
        Generate(prompt="the dog", stop=(), max_tokens=4),
    ]
    checkpoint = recognise(str(folder), base=str(base))
    paths = [folder / place for place in PLACES[name]]
    paths += [base / WEIGHTS, base / "tokenizer.json"] if name == "lora" else []
    engine = FACTORY.open(checkpoint, SETTINGS)
    honest = list(engine.answer(requests))
    record_property("injected", 2 * len(paths))
    for path in paths:
        before = path.read_bytes()
        overwrite(path, other_content(path))
        assert list(engine.answer(requests)) == honest, path
        with pytest.raises(ModelError, match=f"{folder}: its files changed"):
            FACTORY.open(checkpoint, SETTINGS)
        overwrite(path, before)
    assert list(FACTORY.open(checkpoint, SETTINGS).answer(requests)) == honest


@pytest.mark.fault(10)
def test_a_run_whose_candidate_is_written_over_keeps_no_wrong_answer(copies, small_world) -> None:
    """Before it is opened (exit 2), before it is opened again to be measured (5), and after its first answers."""
    path = copies / "full" / WEIGHTS
    before, wrong = path.read_bytes(), scaled(path)

    def run(factory, store: str) -> bytes:
        evalharness.evaluate(
            [str(copies / "full")],
            base=str(copies / "base"),
            tasks=["echo"],
            include=[small_world / "tasks"],
            data_dir=small_world / "data",
            limit=4,
            device="cpu",
            out=copies / "out",
            store=copies / store,
            factory=factory,
        )
        return (copies / "out" / "results.json").read_bytes()

    honest = run(FACTORY, "honest.sqlite")
    for moment, code in (("opening full", 2), ("answered base", 5), ("answered full", 0)):
        factory = WatchedFactory(lambda now, moment=moment: now == moment and overwrite(path, wrong))
        if code:
            with pytest.raises(EvalHarnessError, match="its files changed") as refused:
                run(factory, f"{code}.sqlite")
            assert refused.value.exit_code == code
        else:
            assert run(factory, f"{code}.sqlite") == honest
        assert path.read_bytes() == wrong
        overwrite(path, before)
        assert run(FACTORY, f"{code}.sqlite") == honest


@pytest.mark.fault(10)
@pytest.mark.parametrize("shards", [False, True])
def test_other_weights_while_they_are_read_are_refused_though_the_right_ones_are_put_back(
    shards, copies, tiny, monkeypatch
) -> None:
    if shards:
        tiny.open_model(copies / "full").save_pretrained(copies / "full", max_shard_size="40KB")
        (copies / "full" / WEIGHTS).unlink()
    path = sorted((copies / "full").glob("model*.safetensors"))[0]
    checkpoint, before, other = recognise(str(copies / "full")), path.read_bytes(), scaled(path)
    read = loading.from_pretrained

    def disturbed(*args, **options):
        overwrite(path, other)
        model = read(*args, **options)
        overwrite(path, before)
        return model

    FACTORY.open(checkpoint, SETTINGS).close()
    monkeypatch.setattr(loading, "from_pretrained", disturbed)
    with pytest.raises(ModelError, match=f"{path}: its files changed"):
        FACTORY.open(checkpoint, SETTINGS)
