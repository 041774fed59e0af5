"""What is loaded is what was stored, quietly, in the dtype asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from evalharness.checkpoints.load import VirtualPrefix, load
from evalharness.checkpoints.recognise import recognise
from evalharness.checkpoints.special_tokens import tokenizer_directory
from evalharness.checkpoints.tokenizer import load_tokenizer
from evalharness.checkpoints.verify import verify
from evalharness.errors import ModelError, UsageError


@pytest.mark.parametrize("name", ["llama", "gpt2", "qwen3"])
def test_every_stored_tensor_is_in_the_model(name, zoo):
    loaded = load(recognise(str(zoo[name])), "float32", "cpu")
    state = loaded.model.state_dict()
    assert all(torch.equal(state[key], tensor) for key, tensor in load_file(zoo[name] / "model.safetensors").items())
    assert not loaded.model.training and loaded.lead.tokens == 0 and loaded.adapter is None


def test_lora_and_soft_prompt(zoo):
    lora = load(recognise(str(zoo["gpt2-lora"])), "bfloat16", "cpu")
    assert lora.adapter is not None and not lora.model.training and lora.model.dtype == torch.bfloat16
    assert {p.dtype for n, p in lora.model.named_parameters() if "lora_" in n} == {torch.float32}  # peft's default
    soft = load(recognise(str(zoo["gpt2-prompt"])), "float32", "cpu")
    assert torch.equal(
        soft.lead.embeddings, load_file(zoo["gpt2-prompt"] / "adapter_model.safetensors")["prompt_embeddings"]
    )
    with soft.answering(True) as on, soft.answering(False) as off:
        assert on == (soft.model, soft.lead) and off == (soft.bare, VirtualPrefix())


@pytest.mark.parametrize(
    ("dtype", "device"),
    [("float16", "cpu"), ("int4", "cpu"), ("float32", "abacus"), ("float32", "meta"), ("float32", "cuda:99")],
)
def test_dtypes_and_devices_that_cannot_be_had(dtype, device, zoo):
    with pytest.raises(UsageError):
        load(recognise(str(zoo["llama"])), dtype, device)


def test_an_adapter_speaks_with_its_own_tokenizer_if_it_has_one(zoo, copy, tiny):
    folder = copy("llama-lora")
    assert tokenizer_directory(recognise(str(folder))) == zoo["llama"]
    tiny.make_tokenizer("llama").save_pretrained(folder)
    assert tokenizer_directory(recognise(str(folder))) == folder
    assert load_tokenizer(folder).get_vocab() == load_tokenizer(zoo["llama"]).get_vocab()


def test_a_base_that_was_cut_short(copy, zoo):
    base = copy("llama")
    checkpoint = recognise(str(zoo["llama-lora"]), base=str(base))
    path = base / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-64])
    with pytest.raises(ModelError, match="cannot be loaded"):
        load(checkpoint, "float32", "cpu")


def test_loading_says_nothing(zoo, capfd):
    """No progress bars, load reports or warnings reach the user's terminal."""
    for name in ("llama", "llama-prompt", "llama-lora"):
        checkpoint = recognise(str(zoo[name]))
        verify(checkpoint)
        load(checkpoint, "float32", "cpu")
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_loading_needs_peft_for_adapters_only(zoo):
    """peft takes seconds to import. In a process of its own, which says nothing, either."""
    code = (
        "import sys\n"
        "from evalharness.checkpoints.load import load\n"
        "from evalharness.checkpoints.recognise import recognise\n"
        "from evalharness.checkpoints.verify import verify\n"
        "for place in sys.argv[1:]:\n"
        "    c = recognise(place); verify(c); load(c, 'float32', 'cpu'); print('peft' in sys.modules)"
    )
    places = [str(zoo[name]) for name in ("llama", "llama-prompt", "llama-lora")]
    process = subprocess.run([sys.executable, "-c", code, *places], capture_output=True, text=True, check=True)
    assert (process.stdout.split(), process.stderr) == (["False", "True", "True"], "")
