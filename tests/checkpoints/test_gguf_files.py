"""GGUF files answer as by transformers' own `gguf_file`, alone, as a base and under an adapter."""

from __future__ import annotations

import shutil
import sys

import numpy as np
import pytest
import torch
from checkpoints.tiny_gguf import write_gguf
from faults.overwriting import overwrite
from tiny_models import by_peft, logits
from transformers import AutoModelForCausalLM, AutoTokenizer

from evalharness.checkpoints import load as loading
from evalharness.checkpoints.derived import at_precision
from evalharness.checkpoints.describe import describe
from evalharness.checkpoints.fingerprint import of_tokenizer
from evalharness.checkpoints.load import load, resident_of
from evalharness.checkpoints.recognise import recognise
from evalharness.checkpoints.tokenizer import shared_prompt_tokens
from evalharness.checkpoints.verify import verify
from evalharness.errors import MissingPackageError, ModelError


@pytest.fixture(scope="module")
def folders(zoo, tmp_path_factory):
    """A folder with one GGUF file, by its type."""
    root = tmp_path_factory.mktemp("gguf")
    for kind in ("F32", "Q8_0"):
        (root / kind).mkdir()
        write_gguf(zoo["llama"], root / kind / "tiny.gguf", kind)
    return root


def by_transformers(folder):
    return AutoModelForCausalLM.from_pretrained(folder, gguf_file="tiny.gguf", dtype=torch.float32).eval()


@pytest.mark.parametrize("kind", ["F32", "Q8_0"])
def test_it_is_what_transformers_opens(kind, folders, zoo):
    folder, full = folders / kind, recognise(str(zoo["llama"]))
    checkpoint = recognise(str(folder), base=str(folder))
    assert verify(checkpoint) == ((f"{kind}: weights unpacked from a GGUF file's Q8_0",) if kind == "Q8_0" else ())
    assert (checkpoint.kind, checkpoint.parameters, checkpoint.window) == ("full", full.parameters, full.window)
    assert recognise(str(folder), role="base").kind == "base" and describe(checkpoint)["model_type"] == "llama"
    loaded, theirs = load(checkpoint, "float32", "cpu"), by_transformers(folder)
    assert torch.equal(logits(loaded.model), logits(theirs))
    assert loaded.model.generation_config.eos_token_id == theirs.generation_config.eos_token_id == 2
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file="tiny.gguf")
    assert loaded.tokenizer("the cat sat").input_ids == tokenizer("the cat sat").input_ids
    if kind == "F32":
        assert torch.equal(logits(loaded.model), logits(load(full, "float32", "cpu").model))


def test_a_file_by_its_path_and_its_identity(folders, zoo, tmp_path):
    file = folders / "F32" / "tiny.gguf"
    checkpoint = recognise(str(file))
    assert checkpoint.name == "tiny" and checkpoint.fingerprint == recognise(str(file.parent)).fingerprint
    assert torch.equal(logits(load(checkpoint, "float32", "cpu").model), logits(by_transformers(file.parent)))
    copy = tmp_path / "other.gguf"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    copy.write_bytes(data)
    assert recognise(str(copy)).fingerprint != checkpoint.fingerprint


def test_an_adapter_on_a_gguf_base(folders, zoo):
    folder, path = folders / "Q8_0", zoo["llama-lora"]
    checkpoint = recognise(str(path), base=str(folder))
    assert verify(checkpoint) == () and checkpoint.base == folder
    base = load(recognise(str(folder), role="base"), "float32", "cpu")
    before = logits(base.model)
    loaded = load(checkpoint, "float32", "cpu", resident_of(base))
    wanted = by_peft(by_transformers(folder), path)
    assert torch.equal(logits(loaded.model), wanted) and torch.equal(logits(loaded.bare), before)


@pytest.mark.fault(10)
@pytest.mark.parametrize("kind", ["F32", "Q8_0"])
def test_a_file_that_is_written_over_moves_no_model_that_is_open(kind, folders, zoo, tmp_path, edit_tensors):
    path = shutil.copytree(folders / kind, tmp_path / kind) / "tiny.gguf"
    other = shutil.copytree(zoo["llama"], tmp_path / "other")
    edit_tensors(other / "model.safetensors", lambda tensors: [tensor.mul_(1.5) for tensor in tensors.values()])
    write_gguf(other, tmp_path / "other.gguf", kind)
    checkpoint = recognise(str(path))
    loaded = load(checkpoint, "float32", "cpu")
    before = logits(loaded.model)
    overwrite(path, (tmp_path / "other.gguf").read_bytes())
    assert torch.equal(logits(loaded.model), before)
    assert not torch.equal(logits(load(recognise(str(path)), "float32", "cpu").model), before)
    for step in (verify, lambda changed: load(changed, "float32", "cpu")):
        with pytest.raises(ModelError, match="its files changed"):
            step(checkpoint)


@pytest.mark.fault(10)
def test_a_file_that_is_written_over_while_its_parts_are_read(folders, zoo, tmp_path, monkeypatch):
    """Its tokenizer is another's, its weights are its own again."""
    path = shutil.copytree(folders / "F32", tmp_path / "F32") / "tiny.gguf"
    before, other = path.read_bytes(), (folders / "Q8_0" / "tiny.gguf").read_bytes()
    checkpoint, read = recognise(str(path)), loading.tokenizer_in

    def disturbed(directory):
        overwrite(path, other)
        tokenizer = read(directory)
        overwrite(path, before)
        return tokenizer

    monkeypatch.setattr(loading, "tokenizer_in", disturbed)
    with pytest.raises(ModelError, match="its files changed"):
        load(checkpoint, "float32", "cpu")


def test_the_special_tokens_are_those_of_the_file_as_it_is(folders, tmp_path):
    path = tmp_path / "tiny.gguf"
    shutil.copy(folders / "F32" / "tiny.gguf", path)
    known, identity = shared_prompt_tokens(recognise(str(path))), of_tokenizer(path)
    content = path.read_bytes()
    key = b"tokenizer.ggml.bos_token_id"
    at = content.index(key) + len(key) + 4
    overwrite(path, content[:at] + (5).to_bytes(4, "little") + content[at + 4 :])
    assert known.prefix != shared_prompt_tokens(recognise(str(path))).prefix == 5
    assert of_tokenizer(path) != identity


def test_the_tokenizer_that_lies_beside_it_is_used(folders, zoo, tmp_path):
    folder = shutil.copytree(folders / "F32", tmp_path / "with tokenizer")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(zoo["llama"] / name, folder)
    checkpoint = recognise(str(folder))
    assert verify(checkpoint) == () and checkpoint.fingerprint != recognise(str(folders / "F32")).fingerprint
    assert load(checkpoint, "float32", "cpu").tokenizer("the cat").input_ids[0] == 1


# ---- refused ---------------------------------------------------------------------------------------------------------


def test_several_in_one_folder(folders, tmp_path):
    folder = shutil.copytree(folders / "F32", tmp_path / "several")
    shutil.copy(folders / "Q8_0" / "tiny.gguf", folder / "tiny-Q8.gguf")
    with pytest.raises(ModelError, match=r"2 GGUF files: tiny-Q8.gguf, tiny.gguf; name one \((.*)\)$") as error:
        recognise(str(folder))
    assert verify(recognise(error.value.fix.removeprefix("name one (").removesuffix(")")))
    for at, path in enumerate(sorted(folder.iterdir())):
        path.rename(folder / f"tiny-0000{at + 1}-of-00002.gguf")
    with pytest.raises(ModelError, match="make one file of the parts"):
        recognise(str(folder))


@pytest.mark.fault(19)
@pytest.mark.parametrize("kept", [0, 3, 40, 5000, -1000])
def test_files_that_were_cut_short(kept, folders, tmp_path):
    path = tmp_path / "cut.gguf"
    path.write_bytes((folders / "F32" / "tiny.gguf").read_bytes()[:kept])
    with pytest.raises(ModelError, match="not a GGUF file that transformers can open"):
        verify(recognise(str(path)))


def test_values_that_are_not_finite(folders, tmp_path):
    path = tmp_path / "nan.gguf"
    data = (folders / "F32" / "tiny.gguf").read_bytes()
    path.write_bytes(data[:-8000] + np.full(1, np.nan, np.float32).tobytes() + data[-7996:])
    with pytest.raises(ModelError, match="NaN or infinite values in "):
        verify(recognise(str(path)))


def test_more_layers_than_it_holds(zoo, tmp_path):
    path = write_gguf(zoo["llama"], tmp_path / "layers.gguf", num_hidden_layers=100_000)
    with pytest.raises(ModelError, match="num_hidden_layers is 100000, and at most 256 is read"):
        recognise(str(path))


def test_other_precisions_and_missing_packages(folders, monkeypatch):
    with pytest.raises(ModelError, match=r"a GGUF file cannot be quantised to nf4 on loading; --precision none"):
        load(at_precision(recognise(str(folders / "F32")), "nf4"), "float32", "cpu")
    monkeypatch.delitem(sys.modules, "evalharness.checkpoints.gguf_files")
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(MissingPackageError, match=r"extra \[gguf\] .*pip install 'evalharness\[gguf\]'"):
        recognise(str(folders / "F32"))
