"""Adapters of every type that peft saves, as it saves them: recognised without peft, and verified against their
base.
"""

from __future__ import annotations

import json

import pytest
from safetensors.torch import load_file
from slow_cases import first_of_each

from evalharness.checkpoints.describe import describe
from evalharness.checkpoints.kinds import TYPES
from evalharness.checkpoints.recognise import recognise
from evalharness.checkpoints.verify import verify
from evalharness.errors import ModelError

SEVERAL = ("POLY", "MULTITASK_PROMPT_TUNING")
ON = {"causal": "llama", "seq2seq": "t5"}
SUPPORTED = [
    (name, base)
    for name, kind in TYPES.items()
    for architecture, base in ON.items()
    if architecture in kind.architectures
]
REFUSED = [
    (name, architecture)
    for name, kind in TYPES.items()
    for architecture in ON
    if architecture not in kind.architectures
]


def place(path, kind, task=1):
    return f"{path}#{task}" if kind in SEVERAL else str(path)


@pytest.mark.parametrize(("kind", "base"), first_of_each(SUPPORTED, lambda kind, base: kind))
def test_recognised_and_sound(kind, base, zoo, tiny):
    path, under = zoo[f"{base}-{kind}"], recognise(str(zoo[base]), role="base")
    checkpoint = recognise(place(path, kind))
    stored = load_file(path / "adapter_model.safetensors")
    assert (checkpoint.kind, checkpoint.adapter, checkpoint.architecture) == (
        TYPES[kind].kind,
        kind,
        under.architecture,
    )
    assert (checkpoint.base, checkpoint.window, checkpoint.precision) == (under.path, under.window, "")
    assert checkpoint.parameters == under.parameters + sum(tensor.numel() for tensor in stored.values())
    assert 0 < checkpoint.trainable <= checkpoint.parameters - under.parameters
    assert checkpoint.adapter_task == (1 if kind in SEVERAL else None)
    wanted = json.loads((path / "adapter_config.json").read_text()).get("num_virtual_tokens") or 0
    assert checkpoint.virtual_tokens == (wanted if TYPES[kind].acts != "layers" else 0)
    assert not any("not" in notice for notice in verify(checkpoint) if "shows when it is loaded" not in notice)
    assert describe(checkpoint)["dtypes"]


@pytest.mark.parametrize(("kind", "architecture"), REFUSED)
def test_types_that_are_not_supported_are_refused_by_their_reason(kind, architecture, copy, edit_json, zoo):
    base = ON[architecture]
    folder = copy(f"{base}-LORA", "other")
    edit_json(folder / "adapter_config.json", peft_type=kind, num_virtual_tokens=3)
    with pytest.raises(ModelError) as error:
        recognise(str(folder))
    assert TYPES[kind].why_not in str(error.value) and kind in str(error.value)


@pytest.mark.parametrize(
    ("kind", "base", "other"),
    [("LORA", "llama", "t5"), ("PREFIX_TUNING", "t5", "llama"), ("PROMPT_TUNING", "bart", "gpt2")],
)
def test_an_adapter_for_the_other_architecture(kind, base, other, zoo, copy, edit_json):
    with pytest.raises(
        ModelError,
        match=r"an adapter of an? .* model, and its base .* is an? .* model; give the base that it was trained on",
    ):
        recognise(str(zoo[f"{base}-{kind}"]), base=str(zoo[other]))
    folder = copy(f"{base}-{kind}", "unsaid")
    edit_json(folder / "adapter_config.json", task_type=None)
    edit_json(
        folder / "training.json", architecture="seq2seq" if base in ("t5", "bart") else "causal", base=str(zoo[other])
    )
    with pytest.raises(ModelError, match="and its base"):
        recognise(str(folder))


@pytest.mark.parametrize("base", ["llama", "t5"])
def test_an_adapter_that_says_no_task_type_takes_its_bases_architecture(base, copy, edit_json):
    folder = copy(f"{base}-LORA", "unsaid")
    edit_json(folder / "adapter_config.json", task_type=None)
    checkpoint = recognise(str(folder))
    assert checkpoint.architecture == ("seq2seq" if base == "t5" else "causal")
    assert verify(checkpoint) == ()


@pytest.mark.parametrize("kind", SEVERAL)
def test_one_task_of_several(kind, zoo, copy):
    path = zoo[f"llama-{kind}"]
    first, second = recognise(f"{path}#0"), recognise(f"mine={path}#1")
    assert (first.adapter_task, second.adapter_task) == (0, 1)
    assert (first.name, second.name) == (f"{path.name}-task0", "mine")
    assert first.fingerprint != second.fingerprint
    assert first.path == second.path == path
    with pytest.raises(ModelError, match=r"learned 2 tasks, .*; name one: .*#0 to .*#1"):
        recognise(str(path))
    with pytest.raises(ModelError, match=r"there is no task 2: it learned 2; #0 to #1"):
        recognise(f"{path}#2")
    real = copy(f"llama-{kind}", "odd#1")  # a path wins
    with pytest.raises(ModelError, match="learned 2 tasks"):
        recognise(str(real))
    assert recognise(f"{real}#0").adapter_task == 0


def test_tasks_of_checkpoints_that_have_none(zoo):
    for name, words in (
        ("llama", "full weights have no such choice"),
        ("llama-LORA", "it learned one"),
        ("llama-PROMPT_TUNING", "it learned one"),
    ):
        with pytest.raises(ModelError, match=words):
            recognise(f"{zoo[name]}#1")


@pytest.mark.parametrize("number", [0, -1, None, "two", [1]])
def test_a_number_of_tasks_that_is_none(number, copy, edit_json):
    folder = copy("llama-POLY")
    edit_json(folder / "adapter_config.json", n_tasks=number or 0)
    with pytest.raises(ModelError, match=r"n_tasks is .*a whole number above zero"):
        recognise(f"{folder}#0")


@pytest.mark.parametrize("number", [0, True, None, "5"])
@pytest.mark.parametrize("kind", ["PREFIX_TUNING", "P_TUNING"])
def test_virtual_tokens_that_are_none(kind, number, copy, edit_json):
    folder = copy(f"llama-{kind}")
    edit_json(folder / "adapter_config.json", num_virtual_tokens=number)
    with pytest.raises(ModelError, match="num_virtual_tokens is"):
        recognise(str(folder))


@pytest.mark.parametrize("kind", ["LORA", "IA3", "PREFIX_TUNING", "P_TUNING", "VERA", "LOHA", "OFT"])
def test_on_a_base_of_another_width(kind, zoo, tiny, tmp_path):
    """Found from headers, before anything is loaded."""
    config = tiny.make_config("llama", len(tiny.make_tokenizer("llama")))
    config.hidden_size, config.intermediate_size, config.head_dim = 64, 128, 16
    model = type(tiny.open_model(zoo["llama"]))(config)
    model.save_pretrained(tmp_path / "wide")
    tiny.make_tokenizer("llama").save_pretrained(tmp_path / "wide")
    with pytest.raises(ModelError, match=r"(does not fit its base .*wide|its base's embeddings 64).*give --base"):
        verify(recognise(str(zoo[f"llama-{kind}"]), base=str(tmp_path / "wide")))


@pytest.mark.parametrize("kind", ["IA3", "P_TUNING", "PREFIX_TUNING", "MULTITASK_PROMPT_TUNING", "LOHA"])
def test_values_that_are_not_finite(kind, copy, edit_tensors):
    folder = copy(f"llama-{kind}")
    edit_tensors(
        folder / "adapter_model.safetensors",
        lambda tensors: next(iter(tensors.values())).view(-1)[:1].fill_(float("nan")),
    )
    with pytest.raises(ModelError, match="NaN or infinite values in"):
        verify(recognise(place(folder, kind)))


def test_what_show_says_of_how_an_adapter_is_made(zoo, tiny, tmp_path):
    path = tiny.make_adapter(
        zoo["llama"],
        tmp_path / "form",
        tiny.lora(use_dora=True, use_rslora=True, bias="lora_only", target_modules=".*_proj"),
    )
    made = describe(recognise(str(path)))
    assert made["marks"] == ["DoRA", "rsLoRA", "biases: lora_only"]
    assert (made["rank"], made["alpha"], made["targets"]) == (4, 8, ".*_proj")
    assert made["modules"] == ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]
    assert made["modules_count"] == 14
    assert describe(recognise(str(zoo["t5-LORA"])))["modules"] == ["q", "v"]
