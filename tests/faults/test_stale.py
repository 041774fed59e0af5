"""Whatever moves an answer makes another model, or another question, of it: nothing that was stored is given for it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import evalharness
from evalharness.engines.scripted import ScriptedFactory
from evalharness.records.requests import Failure, Generation, Request, Response

ANSWERS = 2


def reply(request: Request) -> Response | Failure:
    return Generation(request_id=request.id, text="an answer", finish_reason="stop", tokens=2)


def edit(path: Path, **changes: object) -> None:
    """Set keys of a JSON file, in place."""
    value = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**value, **changes}))


def one_bit(path: Path) -> None:
    """In place, with its size and its time kept."""
    stat, content = path.stat(), bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


EDITS: dict[str, tuple[str, Callable[[Path], object]]] = {  # what is edited: whose file, and how
    "weights": ("full", lambda folder: one_bit(folder / "model.safetensors")),
    "adapter": ("lora", lambda folder: one_bit(folder / "adapter_model.safetensors")),
    "alpha": ("lora", lambda folder: edit(folder / "adapter_config.json", lora_alpha=9)),
    "patterns": ("lora", lambda folder: edit(folder / "adapter_config.json", alpha_pattern={".*": 2, "q_proj": 4})),
    "generation": ("full", lambda folder: edit(folder / "generation_config.json", repetition_penalty=1.2)),
    "chat": ("full", lambda folder: (folder / "chat_template.jinja").write_text("{{ messages }}")),
    "tokenizer": ("full", lambda folder: edit(folder / "tokenizer.json", normalizer={"type": "Lowercase"})),
    "versions": ("full", lambda folder: edit(folder / "tokenizer.4.0.0.json", normalizer={"type": "Lowercase"})),
    "base": ("base", lambda folder: one_bit(folder / "model.safetensors")),
}

ROUNDS = (("weights", "adapter"), ("generation", "alpha"), ("chat", "patterns"), ("tokenizer",), ("versions", "base"))


@pytest.fixture(scope="module")
def world(zoo, small_world, tmp_path_factory) -> tuple[Path, Callable[[], dict[str, int]]]:
    """Checkpoints `base`, `full`, `lora`, and rows; and a run over one store, which tells how often each was asked."""
    root = tmp_path_factory.mktemp("stale")
    for name, of in (("base", "llama"), ("full", "llama"), ("lora", "llama-lora")):
        shutil.copytree(zoo[of], root / name)
    full = root / "full"
    edit(full / "config.json", rms_norm_eps=1e-5)
    shutil.copy(full / "tokenizer.json", full / "tokenizer.4.0.0.json")
    edit(full / "tokenizer_config.json", fast_tokenizer_files=["tokenizer.4.0.0.json"])
    edit(root / "lora" / "adapter_config.json", alpha_pattern={"q_proj": 4, ".*": 2})
    shutil.copytree(small_world, root / "world")

    def run() -> dict[str, int]:
        factory = ScriptedFactory(reply)
        evalharness.evaluate(
            [str(full), str(root / "lora")],
            base=str(root / "base"),
            tasks=["echo"],
            include=[root / "world" / "tasks"],
            data_dir=root / "world" / "data",
            limit=ANSWERS,
            out=root / "out",
            store=root / "store.sqlite",
            factory=factory,
        )
        names = [name for name, _ in factory.requests]
        return {name: names.count(name) for name in names}

    return root, run


@pytest.mark.fault(10)
@pytest.mark.fault(11)
def test_whoever_changed_is_asked_again_and_nobody_else(world, record_property) -> None:
    root, run = world
    assert run() == dict.fromkeys(("base", "full", "lora"), ANSWERS)
    assert run() == {}
    record_property("injected", sum(map(len, ROUNDS)))
    for edits in ROUNDS:
        for what in edits:
            name, change = EDITS[what]
            change(root / name)
        asked = {EDITS[what][0] for what in edits} | ({"lora"} if "base" in edits else set())
        assert run() == dict.fromkeys(asked, ANSWERS), edits


@pytest.mark.fault(10)
def test_whose_question_changed_is_asked_again(world) -> None:
    """A row edited with its size and time kept; a template; a limit on what is written."""
    root, run = world
    everybody = ("base", "full", "lora")
    run()
    rows = root / "world" / "data" / "local" / "echo" / "default" / "test.jsonl"
    stat, before = rows.stat(), rows.read_text()
    rows.write_text(before.replace('"text": "', '"text": "X').replace('"label": ', '"label":'))
    os.utime(rows, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert rows.stat().st_size == stat.st_size
    assert run() == dict.fromkeys(everybody, ANSWERS)
    task = root / "world" / "tasks" / "echo.yaml"
    for one, other in (('"{{text}} :"', '"{{text}} ="'), ("max_gen_toks: 6", "max_gen_toks: 5")):
        task.write_text(task.read_text().replace(one, other))
        assert run() == dict.fromkeys(everybody, ANSWERS)
