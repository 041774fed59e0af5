"""Every type of adapter that peft knows, on tiny random models: what is loaded computes what peft itself loads, and the
base stays as it is.
"""

from __future__ import annotations

import warnings

import pytest
import torch
from peft import PeftModel
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from safetensors.torch import load_file, save_file
from slow_cases import first_of_each
from tiny_models import DECODED, IDS, TASKS, by_peft, described, logits

from evalharness.checkpoints import shared_weights
from evalharness.checkpoints.adapter_fit import adapter_fit
from evalharness.checkpoints.attach import attach
from evalharness.checkpoints.kinds import BOTH, TYPES, refusal
from evalharness.checkpoints.load import load, resident_of
from evalharness.checkpoints.open_model import from_pretrained
from evalharness.errors import ModelError

SUPPORTED = [(name, "llama") for name, kind in TYPES.items() if "causal" in kind.architectures]
SUPPORTED += [(name, "t5") for name, kind in TYPES.items() if "seq2seq" in kind.architectures]
SUPPORTED += [
    (name, base)
    for base in ("gpt2", "qwen3", "bart")
    for name in ("LORA", "IA3", "PREFIX_TUNING", "P_TUNING", "LN_TUNING")
]
LAYERS = [pair for pair in SUPPORTED if TYPES[pair[0]].acts == "layers"]


def which(kind, base):
    """LoRA on every architecture, the other types on one; engines/hf/test_engine_adapters.py has llama."""
    return kind, base if kind == "LORA" else ""


@pytest.fixture(scope="session")
def bases(zoo):
    """One resident model of each architecture."""
    opened = {}
    return lambda name: opened.setdefault(name, from_pretrained(zoo[name], attn_implementation="sdpa").eval())


def test_every_type_of_the_installed_peft_is_known():
    assert TYPES.keys() == {kind.value for kind in PEFT_TYPE_TO_CONFIG_MAPPING}
    assert len({kind.kind for kind in TYPES.values()}) == len(TYPES)
    assert all(kind.why_not or kind.architectures == BOTH for kind in TYPES.values())


@pytest.mark.parametrize(("kind", "base"), first_of_each(LAYERS[::-1], which))
def test_layers_compute_what_peft_computes_and_the_base_stays(kind, base, zoo, tiny, bases):
    model, path = bases(base), zoo[f"{base}-{kind}"]
    marks, before = shared_weights.marks(model), logits(model)
    attached = attach(described(path, zoo[base], kind), model)
    wanted = by_peft(zoo[base], path, **({"task_ids": torch.tensor([1])} if kind == "POLY" else {}))
    assert torch.equal(logits(attached.model), wanted)
    assert not torch.allclose(wanted, before, atol=1e-3)
    assert not attached.model.training and attached.lead.tokens == 0
    assert shared_weights.marks(model) == marks
    assert torch.equal(logits(model), before)
    stored = load_file(zoo[base] / "model.safetensors")
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in stored.items())


@pytest.mark.parametrize(("kind", "base"), [pair for pair in SUPPORTED if pair not in LAYERS])
def test_what_stands_before_the_text_is_peft_s_own_prompt(kind, base, zoo, tiny, bases):
    """peft's forward of one unpadded row; of embeddings with their logits cut off, and decoded with the tokens that it
    takes from labels.
    """
    model, path = bases(base), zoo[f"{base}-{kind}"]
    attached = attach(described(path, zoo[base], kind), model)
    more = {"task_ids": torch.tensor([1])} if kind in TASKS else {}
    seq2seq, lead = model.config.is_encoder_decoder, attached.lead
    if seq2seq and kind in TASKS:
        more["labels"] = torch.tensor([[33, 44, 12, 1]])
    wanted = by_peft(zoo[base], path, **more)
    assert (
        attached.model is model and attached.wrapped is None and lead.tokens == (3 if kind == "CPT" else tiny.VIRTUAL)
    )
    if lead.embeddings is not None:
        vectors = torch.cat([lead.embeddings[None], model.get_input_embeddings()(IDS)], 1)
        with torch.no_grad():
            got = model(inputs_embeds=vectors, **({"decoder_input_ids": DECODED} if seq2seq else {})).logits
        assert torch.equal(got, wanted)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = PeftModel.from_pretrained(tiny.open_model(zoo[base]), str(path)).get_prompt(1)
        theirs = theirs.self_attention_cache if seq2seq else theirs
        assert len(lead.cache) == 2 and lead.tokens == tiny.VIRTUAL
        for (keys, values), layer in zip(lead.cache, theirs.layers, strict=True):
            assert torch.equal(keys, layer.keys[0]) and torch.equal(values, layer.values[0])


@pytest.mark.parametrize(
    ("kind", "base"), first_of_each([pair for pair in SUPPORTED[::-1] if pair[1] in ("llama", "t5")], which)
)
def test_the_layout_is_told_without_data(kind, base, zoo, tmp_path, edit_tensors, copy):
    """Names and shapes of the file are held against the base's on the meta device; what is missing is named there or
    when it is loaded.
    """
    empty = from_pretrained(zoo[base], device_map="meta")
    fit = adapter_fit(described(zoo[f"{base}-{kind}"], zoo[base], kind), empty)
    assert not fit.replaced and len(fit.notices) == int(TYPES[kind].computes)
    broken = copy(f"{base}-{kind}")
    first = sorted(load_file(broken / "adapter_model.safetensors"))[0]
    edit_tensors(broken / "adapter_model.safetensors", lambda tensors: tensors.update({"odd one": tensors.pop(first)}))
    empty = from_pretrained(zoo[base], device_map="meta")
    with pytest.raises(ModelError, match=r"missing|Missing|odd one"):
        adapter_fit(described(broken, zoo[base], kind), empty)
        attach(described(broken, zoo[base], kind), from_pretrained(zoo[base]))


@pytest.mark.parametrize("base", ["llama", "t5"])
def test_several_adapters_on_one_base_answer_as_alone(base, zoo):
    resident, given = None, []
    full = described(zoo[base], None, "")
    kinds = [kind for kind, name in LAYERS if name == base][::8]
    for one in [full, *(described(zoo[f"{base}-{kind}"], zoo[base], kind) for kind in kinds), full]:
        loaded = load(one, "float32", "cpu", resident)
        alone = load(one, "float32", "cpu")
        assert torch.equal(logits(loaded.model), logits(alone.model))
        with loaded.answering(False) as (bare, lead):
            assert torch.equal(logits(bare), logits(given[0])) if given else bare is loaded.model
            assert lead.tokens == 0
        given.append(loaded.bare)
        resident = resident_of(loaded)
        assert resident is not None
    assert len({id(model) for model in given}) == 1


def test_a_base_that_something_wrote_into_is_not_taken_over(zoo):
    loaded = load(described(zoo["llama-LORA"], zoo["llama"]), "float32", "cpu")
    with torch.no_grad():
        loaded.bare.lm_head.weight.add_(1)
    assert resident_of(loaded) is None


def test_another_base_or_dtype_releases_the_one_before(zoo):
    first = load(described(zoo["llama"], None, ""), "float32", "cpu")
    resident = resident_of(first)
    load(described(zoo["llama"], None, ""), "bfloat16", "cpu", resident)
    assert resident.model is None


# ---- forms of LoRA that touch the base -------------------------------------------------------------------------------

FORMS = {
    "biases": ("gpt2", {"bias": "all"}),
    "layer biases": ("bart", {"bias": "lora_only", "target_modules": ["q_proj", "v_proj"]}),
    "modules": ("llama", {"modules_to_save": ["lm_head", "embed_tokens"]}),
    "embeddings": ("llama", {"target_modules": ["embed_tokens", "q_proj"]}),
    "tied embeddings": ("qwen3", {"target_modules": ["embed_tokens", "q_proj"]}),
    "tokens": ("llama", {"trainable_token_indices": [40, 41]}),
    "tied tokens": ("gpt2", {"trainable_token_indices": [40, 41]}),
    "dora": ("llama", {"use_dora": True}),
    "rslora": ("t5", {"use_rslora": True}),
    "pissa": ("llama", {"init_lora_weights": "pissa"}),
    "olora": ("llama", {"init_lora_weights": "olora"}),
    "ranks": ("llama", {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"v_proj": 3}}),
    "excluded": ("llama", {"target_modules": "all-linear", "exclude_modules": r".*\.0\..*"}),
    "parameters": ("llama", {"target_modules": ["q_proj"], "target_parameters": ["mlp.up_proj.weight"]}),
    "replicated": ("llama", {"layer_replication": [(0, 2), (1, 2)]}),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_lora(form, zoo, tiny, bases, tmp_path):
    base, more = FORMS[form]
    task = {"task_type": "SEQ_2_SEQ_LM"} if base in tiny.SEQ2SEQ else {}
    path = tiny.make_adapter(zoo[base], tmp_path / "form", tiny.lora(**more, **task))
    model = bases(base)
    marks, before = shared_weights.marks(model), logits(model)
    attached = attach(described(path, zoo[base]), model)
    assert torch.equal(logits(attached.model), by_peft(zoo[base], path))
    assert not torch.allclose(logits(attached.model), before, atol=1e-3)
    assert shared_weights.marks(model) == marks and torch.equal(logits(model), before)
    adapter_fit(described(path, zoo[base]), from_pretrained(zoo[base], device_map="meta"))


def test_resized_embeddings(zoo, tiny, bases, tmp_path):
    """Saved whole beside the LoRA by peft, and loaded into the twin only."""
    path = tiny.make_adapter(zoo["llama"], tmp_path / "embeddings", tiny.lora())
    stored = load_file(path / "adapter_model.safetensors")
    name = "base_model.model.model.embed_tokens.weight"
    stored[name] = torch.randn(bases("llama").get_input_embeddings().weight.shape)
    save_file(stored, path / "adapter_model.safetensors", metadata={"format": "pt"})
    model = bases("llama")
    before = logits(model)
    attached = attach(described(path, zoo["llama"]), model)
    assert torch.equal(attached.model.get_input_embeddings().weight, stored[name]) and torch.equal(
        logits(model), before
    )
    assert torch.equal(logits(attached.model), by_peft(zoo["llama"], path))


# ---- refused ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "base"), [("XLORA", "llama"), ("LILY", "llama"), ("CPT", "t5"), ("SHADOW", "t5"), ("NEW", "llama")]
)
def test_what_is_not_supported_is_refused_with_its_reason(kind, base, zoo):
    assert refusal(kind, "seq2seq" if base == "t5" else "causal")
    with pytest.raises(ModelError, match=r"unknown|not supported: "):
        attach(described(zoo[f"{base}-LORA"], zoo[base], kind), from_pretrained(zoo[base]))


@pytest.mark.parametrize("kind", TASKS)
def test_an_adapter_of_several_tasks_asks_which(kind, zoo):
    path, base = zoo[f"llama-{kind}"], zoo["llama"]
    with pytest.raises(ModelError, match=rf"was trained on 2 tasks, and none was chosen; .*llama-{kind}#0 to #1"):
        load(described(path, base, kind, adapter_task=None), "float32", "cpu")
    with pytest.raises(ModelError, match="task #2 asked for, but it was trained on 2"):
        load(described(path, base, kind, adapter_task=2), "float32", "cpu")
    with pytest.raises(ModelError, match="knows no tasks"):
        load(described(zoo["llama-LORA"], base, adapter_task=0), "float32", "cpu")
    first, second = (load(described(path, base, kind, adapter_task=task), "float32", "cpu") for task in (0, 1))
    if kind == "POLY":
        assert not torch.equal(logits(first.model), logits(second.model))
    else:
        assert not torch.equal(first.lead.embeddings, second.lead.embeddings)


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("LORA", "alora_invocation_tokens", [1, 2]),
        ("PVERA", "sample_at_inference", True),
        ("LORA", "task_type", "SEQ_CLS"),
        ("LORA", "task_type", "SEQ_2_SEQ_LM"),
    ],
)
def test_options_that_cannot_be_answered_with(kind, field, value, zoo, copy, edit_json):
    path = copy(f"llama-{kind}")
    edit_json(path / "adapter_config.json", **{field: value})
    with pytest.raises(ModelError, match=field):
        load(described(path, zoo["llama"], kind), "float32", "cpu")
