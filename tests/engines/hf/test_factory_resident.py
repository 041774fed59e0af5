"""Engines opened after one another: the base's weights stay, adapters come and go without a trace, a model in memory is
left as it was.
"""

from __future__ import annotations

import gc
import warnings
import weakref

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from evalharness.checkpoints import load as loading
from evalharness.checkpoints.load import LoadedModel
from evalharness.checkpoints.recognise import recognise
from evalharness.checkpoints.tokenizer import load_tokenizer
from evalharness.engines.base import Unmergeable
from evalharness.engines.hf.engine import engine_on
from evalharness.engines.hf.factory import FACTORY
from evalharness.records.models import EngineSettings

CPU = EngineSettings(device="cpu")
PROMPTS = ["the cat sat on a mat and a dog ran over", "Question : what is it ?", "yes"]
EIGHT = ["LORA", "PREFIX_TUNING", "IA3", "PROMPT_TUNING", "VERA", "LN_TUNING", "P_TUNING", "LOHA"]


@pytest.fixture
def loads(monkeypatch) -> list[str]:
    """Names of the directories that full weights were read from."""
    found, read = [], loading.from_pretrained
    monkeypatch.setattr(
        loading,
        "from_pretrained",
        lambda directory, **options: found.append(directory.name) or read(directory, **options),
    )
    return found


def point(name, zoo):
    return recognise(str(zoo[name]))


@pytest.mark.parametrize("base", ["llama", "bart"])
def test_the_base_after_eight_adapters_is_the_base_before(base, zoo, ask, rankings, generations, loads):
    requests = [*rankings[:4], *generations[:4]]
    engine = FACTORY.open(point(base, zoo), CPU)
    before = ask(engine, requests)
    model, marks = engine._loaded.model, [tensor.clone() for tensor in engine._loaded.model.state_dict().values()]
    for kind in EIGHT:
        engine = FACTORY.open_after(engine, point(f"{base}-{kind}", zoo), CPU)
        assert ask(engine, requests) != before
    engine = FACTORY.open_after(engine, point(base, zoo), CPU)
    assert ask(engine, requests) == before
    assert engine._loaded.model is model and loads == [base]
    assert all(torch.equal(now, then) for now, then in zip(model.state_dict().values(), marks, strict=True))


@pytest.mark.parametrize("kind", ["LORA", "IA3", "PREFIX_TUNING", "PROMPT_TUNING", "LN_TUNING"])
def test_nothing_of_a_closed_adapter_stays_in_memory(kind, zoo, ask, rankings, generations):
    engine = FACTORY.open(point(f"llama-{kind}", zoo), CPU)
    ask(engine, [*rankings[:2], *generations[:2]])
    loaded = engine._loaded
    base = {id(tensor) for tensor in loaded.bare.parameters()}
    lead = [tensor for layer in loaded.lead.cache or () for tensor in layer] + (
        [] if loaded.lead.embeddings is None else [loaded.lead.embeddings]
    )
    own = [tensor for tensor in loaded.model.parameters() if id(tensor) not in base] + lead
    held = [weakref.ref(tensor) for tensor in own] + [
        weakref.ref(module) for module in loaded.model.modules() if loaded.model is not loaded.bare
    ]
    assert held
    del loaded, lead, own
    after = FACTORY.open_after(engine, point("llama", zoo), CPU)
    gc.collect()
    assert not [ref for ref in held if ref() is not None]
    assert engine._loaded is None and after._loaded is not None


def test_other_weights_take_the_place_of_those_before(zoo, loads):
    engine = FACTORY.open(point("llama-LORA", zoo), CPU)
    held = weakref.ref(engine._loaded.bare)
    engine = FACTORY.open_after(engine, point("gpt2", zoo), CPU)
    assert held() is None
    engine = FACTORY.open_after(engine, point("gpt2-LORA", zoo), EngineSettings(device="cpu", dtype="bfloat16"))
    assert loads == ["llama", "gpt2", "gpt2"] and engine._loaded.model.dtype == torch.bfloat16


def test_an_engine_that_was_closed_has_nothing_to_hand_over(zoo, loads):
    engine = FACTORY.open(point("llama", zoo), CPU)
    engine.close()
    FACTORY.open_after(engine, point("llama", zoo), CPU)
    assert loads == ["llama", "llama"]


@pytest.mark.parametrize("name", ["llama-LORA", "t5-LORA"])
def test_merged_logits_are_those_of_pefts_merge(name, zoo, tiny):
    engine = FACTORY.open(point(name, zoo), CPU)
    apart, ours = engine.merge_logits(PROMPTS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = (
            PeftModel.from_pretrained(tiny.open_model(zoo[name.partition("-")[0]]), str(zoo[name]))
            .merge_and_unload()
            .eval()
        )
    wanted = []
    for prompt in sorted(PROMPTS, key=len, reverse=True):
        ids = engine._loaded.tokenizer(prompt)["input_ids"]
        cut = max(1, len(ids) // 4)
        given, first = {"input_ids": torch.tensor([ids])}, cut - 1
        if theirs.config.is_encoder_decoder:
            decoder = [theirs.config.decoder_start_token_id, *ids[cut:]]
            given, first = {"input_ids": torch.tensor([ids[:cut]]), "decoder_input_ids": torch.tensor([decoder])}, 0
        with torch.inference_mode():
            wanted.append(theirs(**given).logits[0, first:].numpy())
    assert np.abs(np.concatenate(wanted) - ours).max() < 1e-4
    assert 0 < np.abs(ours - apart).max() < 1e-3


@pytest.mark.parametrize("name", ["llama", "llama-PROMPT_TUNING"])
def test_what_cannot_be_merged_says_why(name, zoo):
    with pytest.raises(Unmergeable, match=r"virtual tokens|no adapter"):
        FACTORY.open(point(name, zoo), CPU).merge_logits(PROMPTS)


def test_a_model_of_someone_elses_is_left_as_it_was(zoo, engine, ask, rankings, generations):
    """A PeftModel in the middle of its training: it answers as its checkpoint does, and goes on as if nobody had
    asked.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        base = AutoModelForCausalLM.from_pretrained(zoo["llama"])
        wrapped = PeftModel.from_pretrained(base, str(zoo["llama-lora"]), is_trainable=True)
    base.generation_config.temperature, base.generation_config.do_sample = 0.7, True
    wrapped.train()
    wrapped.base_model.model.lm_head.eval()  # one that its owner froze
    loaded = LoadedModel(
        model=base, bare=base, tokenizer=load_tokenizer(zoo["llama"]), device=base.device, adapter=wrapped
    )
    modes, config = {name: module.training for name, module in wrapped.named_modules()}, base.generation_config
    grads, hooks = (
        [p.requires_grad for p in wrapped.parameters()],
        [len(m._forward_pre_hooks) for m in wrapped.modules()],
    )
    ours = engine_on(loaded, point("llama-lora", zoo), CPU)
    found = ask(ours, [*rankings, *generations])
    expected = ask(engine("llama-lora"), [*rankings, *generations])
    assert [a.text for a in found[len(rankings) :]] == [a.text for a in expected[len(rankings) :]]
    assert all(
        np.allclose(a.logprobs, b.logprobs, atol=2e-5) for a, b in zip(found[: len(rankings)], expected, strict=False)
    )
    ours.close()
    assert {name: module.training for name, module in wrapped.named_modules()} == modes
    assert base.generation_config is config and config.do_sample
    assert [p.requires_grad for p in wrapped.parameters()] == grads and [
        len(m._forward_pre_hooks) for m in wrapped.modules()
    ] == hooks
    ids = torch.tensor([[1, 40, 41, 42]])
    wrapped(input_ids=ids, labels=ids).loss.backward()  # nothing that answering left behind is out of autograd's reach
    assert any(p.grad is not None for p in wrapped.parameters())
