"""Whoever writes over a checkpoint's files while it answers: what is kept was answered by the bytes that were
fingerprinted.
"""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import pytest
from faults.overwriting import CHANGES, other_content, overwrite, scaled
from faults.watching import WatchedFactory, answers_in

import evalharness
from evalharness.checkpoints import fingerprint
from evalharness.checkpoints import load as loading
from evalharness.checkpoints import verify as verifying
from evalharness.checkpoints.recognise import recognise
from evalharness.checkpoints.verify import verify
from evalharness.engines.hf.factory import FACTORY
from evalharness.errors import EvalHarnessError, ModelError
from evalharness.records.models import EngineSettings
from evalharness.records.requests import Generate, Rank

WEIGHTS, ADAPTER = "model.safetensors", "adapter_model.safetensors"
SETTINGS = EngineSettings(device="cpu")


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


MOMENTS = {  # when what is written over: what is said, and whose answers are kept
    "opening full": (f"full/{WEIGHTS}", 5, "its files changed", 1),
    "answered base": (f"full/{WEIGHTS}", 5, "its files changed", 1),
    "answered base, whose special tokens full takes": ("base/tokenizer.json", 5, r"before the run \(special_tok", 1),
    "answered base, whose rules full takes": ("base/generation_config.json", 5, r"before the run \(generation_r", 1),
    "answered full": (f"full/{WEIGHTS}", 0, "", 2),
}


@pytest.mark.fault(10)
def test_a_run_whose_files_are_written_over_keeps_no_wrong_answer(copies, small_world, record_property) -> None:
    def run(factory, store: str) -> bytes:
        evalharness.evaluate(
            [str(copies / "full")],
            base=str(copies / "base"),
            tasks=["echo"],
            include=[small_world / "tasks"],
            data_dir=small_world / "data",
            limit=2,
            device="cpu",
            out=copies / "out",
            store=copies / store,
            factory=factory,
        )
        return (copies / "out" / "results.json").read_bytes()

    honest = run(FACTORY, "honest.sqlite")
    right, own = answers_in(copies / "honest.sqlite"), recognise(str(copies / "full")).fingerprint
    by_number = [{}, {key: body for key, body in right.items() if key[0] != own}, right]
    record_property("injected", len(MOMENTS))
    for moment, (place, code, said, models) in MOMENTS.items():
        path, store = copies / place, f"{moment}.sqlite"
        before, other = path.read_bytes(), other_content(path)
        factory = WatchedFactory(
            lambda now, moment=moment, path=path, other=other: now == moment.split(",")[0] and overwrite(path, other)
        )
        if code:
            with pytest.raises(EvalHarnessError, match=said) as refused:
                run(factory, store)
            assert refused.value.exit_code == code
        else:
            assert run(factory, store) == honest
        assert path.read_bytes() == other
        assert answers_in(copies / store) == by_number[models], moment
        overwrite(path, before)


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


@pytest.mark.fault(10)
@pytest.mark.parametrize("name", ["full", "lora"])
def test_what_is_verified_is_what_was_recognised(name, copies, edit_tensors, monkeypatch, record_property) -> None:
    """Values that are not finite are hidden while they are looked at, and put back; or stay away."""
    path = copies / name / PLACES[name][0]
    good = path.read_bytes()
    edit_tensors(path, lambda tensors: next(iter(tensors.values())).view(-1)[:1].fill_(float("nan")))
    checkpoint, bad, looked_at = recognise(str(copies / name), base=str(copies / "base")), path.read_bytes(), []
    look = verifying.refuse_nonfinite

    def disturbed(back: bool, file: Path) -> None:
        overwrite(path, good)
        look(file)
        looked_at.append(file)
        if back:
            overwrite(path, bad)

    with pytest.raises(ModelError, match="NaN or infinite"):
        verify(checkpoint)
    record_property("injected", 2)
    for back in (True, False):
        monkeypatch.setattr(verifying, "refuse_nonfinite", partial(disturbed, back))
        with pytest.raises(ModelError, match=f"{path}: its files changed"):
            verify(checkpoint)
        assert looked_at.pop() == path
        overwrite(path, bad)


@pytest.mark.fault(10)
def test_a_window_that_was_read_before_its_file_was_written_over_is_refused(copies, monkeypatch) -> None:
    path, identify = copies / "full" / "config.json", fingerprint.of_weights
    other = json.dumps({**json.loads(path.read_text()), "max_position_embeddings": 8}).encode()

    def late(directory: Path) -> str:
        overwrite(path, other)
        return identify(directory)

    monkeypatch.setattr(fingerprint, "of_weights", late)
    with pytest.raises(ModelError, match="its files changed"):
        FACTORY.open(recognise(str(copies / "full")), SETTINGS)
    FACTORY.open(recognise(str(copies / "full")), SETTINGS).close()
