"""Whatever is broken in a checkpoint's files ends in an error that says what, never in a traceback."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from random import Random

import pytest

from evalharness.checkpoints.describe import describe
from evalharness.checkpoints.discover import base_of, checkpoints_in
from evalharness.checkpoints.recognise import recognise
from evalharness.errors import ModelError


@pytest.mark.fault(21)
@pytest.mark.parametrize(
    ("name", "file"), [("llama", "model.safetensors"), ("llama-lora", "adapter_model.safetensors")]
)
def test_pickles_are_neither_run_nor_read(name, file, copy, tmp_path):
    """safetensors only: a .bin that would run code on loading stays what it is, a file."""

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    folder = copy(name)
    (folder / file).rename(folder / "kept.txt")
    (folder / file.replace("safetensors", "bin").replace("model.bin", "pytorch_model.bin")).write_bytes(
        pickle.dumps(Evil())
    )
    with pytest.raises(ModelError, match="safetensors only"):
        recognise(str(folder))
    assert not (tmp_path / "executed").exists()


@pytest.mark.fault(19)
@pytest.mark.parametrize("kept", [0, 4, 9, 600, -1])
def test_files_that_were_cut_short(kept, copy):
    folder = copy("gpt2")
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ModelError, match=r"model.safetensors: (not a readable safetensors file|cut short)"):
        recognise(str(folder))


def test_training_json_that_is_broken(copy):
    folder = copy("llama-lora")
    for text in ("{", "[1]", '{"a": ' + "[" * 100_000):
        (folder / "training.json").write_text(text)
        with pytest.raises(ModelError, match=r"training\.json"):
            recognise(str(folder))


@pytest.mark.parametrize(
    "place", ["a\0b", "x" * 5000, "/" + "y/" * 3000, "~nobody-of-that-name/x", "n=\0", "*", "#1", "a#1", "=x"]
)
def test_places_that_no_path_can_be(place):
    with pytest.raises(ModelError):
        recognise(place)
    with pytest.raises(ModelError):
        base_of(place)


BREAKS = ("delete", "empty", "cut", "flip", "null", "list", "deep", "directory")


def break_file(path, how, random):
    data = path.read_bytes()
    if how in ("delete", "directory"):
        path.unlink()
        if how == "directory":
            path.mkdir()
        return
    at = random.randrange(len(data) + 1)
    flipped = data[:at] + bytes(random.randrange(256) for _ in range(9)) + data[at + 9 :]
    written = {
        "empty": b"",
        "cut": data[:at],
        "flip": flipped,
        "null": b"null",
        "list": b'[{"a": 1}]',
        "deep": b'{"a":' * 50_000,
    }
    path.write_bytes(written[how])


def change_json(path, random):
    """One key set to a value of another type."""
    try:
        value = json.loads(path.read_text())
        key = random.choice([*value, "quantization_config", "is_encoder_decoder", "base", "peft_type"])
        path.write_text(
            json.dumps(
                {
                    **value,
                    key: random.choice([None, 0, -1, "", "x", [], {}, [[]], {"a": []}, 1e308, True, "../..", "\0"]),
                }
            )
        )
    except (ValueError, TypeError, OSError, RecursionError):
        return


@pytest.mark.fault(19)
@pytest.mark.parametrize("name", ["llama", "llama-lora", "t5-P_TUNING", "out"])
def test_whatever_is_broken_ends_in_a_checkpoint_or_a_model_error(name, zoo, tmp_path, record_property):
    record_property("injected", 60)
    random = Random(name)
    for turn in range(60):
        folder = tmp_path / str(turn)
        if name == "out":
            shutil.copytree(zoo["llama-lora"], folder / "checkpoint-1")
            shutil.copytree(zoo["gpt2"], folder / "checkpoint-2")
        else:
            shutil.copytree(zoo[name], folder)
        (folder / "training.json").write_text(
            json.dumps({"base": str(zoo["llama"]), "method": "lora", "recipe": {"rank": 3}})
        )
        for _ in range(random.randrange(1, 4)):
            path = random.choice([path for path in sorted(folder.rglob("*")) if path.is_file()])
            if path.suffix == ".json" and random.random() < 0.5:
                change_json(path, random)
            else:
                break_file(path, random.choice(BREAKS), random)
        for place in (folder, *checkpoints_in(folder)):
            try:
                checkpoint = recognise(str(place))
                assert checkpoint.parameters > 0 and len(checkpoint.fingerprint) == 64
                assert describe(checkpoint)["dtypes"]
            except ModelError as error:
                assert error.what and "\n" not in str(error)
        shutil.rmtree(folder)
