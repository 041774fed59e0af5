"""What is expected at every token: against one unpadded forward of transformers' and peft's own models, and against
texts scored whole.
"""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
import torch
from scipy.stats import entropy
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from evalharness.analysis.drift import divergence
from evalharness.checkpoints.load import load
from evalharness.checkpoints.recognise import recognise
from evalharness.engines.hf.architectures import model_adapter
from evalharness.engines.hf.batches import BatchLimits
from evalharness.engines.hf.profiles import BEYOND, Profiler, in_forward_passes
from evalharness.engines.hf.tokenizer_adapter import TokenizerAdapter
from evalharness.records.requests import Failure, Profile, Profiling, Score
from evalharness.store import Store

TEXT = "the cat sat on a mat and a dog ran over red blue houses while people talk"


def softmaxed(logits):
    return torch.log_softmax(logits.double(), -1).numpy()


@pytest.mark.parametrize("name", ["gpt2", "qwen3-lora", "llama-lora", "llama-prompt"])
def test_equals_one_unpadded_forward(name, engine, ask, peft_model, zoo):
    """peft's own forward of the prefix token and the text; a batch with a longer text moves nothing."""
    mine = engine(name, batch_size=4)
    texts = TokenizerAdapter(mine._loaded.tokenizer)
    found, _ = ask(mine, [Profile(text=TEXT, top_k=5), Profile(text=f"{TEXT} {TEXT}", top_k=5)])
    tokens = texts.encode(TEXT, special=False)
    model = peft_model(name) if "-" in name else mine._loaded.model
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([[texts.prefix, *tokens[:-1]]])).logits[0]
    expected = softmaxed(logits[-len(tokens) :])
    assert found.tokens == tokens
    assert np.allclose(found.logprobs, expected[np.arange(len(tokens)), list(tokens)], atol=1e-4)
    assert found.argmax == tuple(expected.argmax(-1)) == tuple(ids[0] for ids in found.ids)
    assert np.allclose(found.top, -np.sort(-expected)[:, :5], atol=1e-4)
    assert np.allclose(np.exp(found.top).sum(1) + np.exp(found.rest), 1, atol=1e-7)


@pytest.mark.parametrize("name", ["t5", "bart"])
@pytest.mark.parametrize("context", ["", "what is it ?"])
def test_an_encoder_decoder_reads_the_context_in_its_encoder(name, context, engine, ask, zoo):
    """transformers' own forward: the prefix token (EOS or BOS) to the encoder where there is no context."""
    mine = engine(name)
    (found,) = ask(mine, [Profile(text=TEXT, top_k=3, context=context)])
    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(zoo[name]).eval(), AutoTokenizer.from_pretrained(zoo[name])
    tokens = tokenizer.encode(TEXT, add_special_tokens=False)
    source = (
        tokenizer.encode(context)
        if context
        else [tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id]
    )
    fed = torch.tensor([[model.config.decoder_start_token_id, *tokens[:-1]]])
    with torch.inference_mode():
        expected = softmaxed(model(input_ids=torch.tensor([source]), decoder_input_ids=fed).logits[0])
    assert list(found.tokens) == tokens
    assert np.allclose(found.logprobs, expected[np.arange(len(tokens)), tokens], atol=1e-4)
    assert found.argmax == tuple(expected.argmax(-1))


def test_sums_to_what_the_text_scores_whole(engine, ask, tiny):
    """gpt2's tokenizer adds nothing to a text, so that its profile is of the very tokens of a Score; over several
    windows, too.
    """
    long = " ".join([TEXT] * 8)
    profile, score = ask(engine("gpt2"), [Profile(text=long, top_k=1), Score(text=long)])
    assert score.tokens == len(profile.tokens) > 2 * tiny.WINDOW
    assert sum(profile.logprobs) == pytest.approx(score.logprob, abs=1e-4)


def test_the_tokens_that_were_asked_for(engine, ask):
    """At another model's likeliest tokens; what is beyond them is one number."""
    (base,) = ask(engine("llama"), [Profile(text=TEXT, top_k=4)])
    (same, other) = (
        ask(engine(name), [Profile(text=TEXT, top_k=0, at=base.ids)])[0] for name in ("llama", "llama-lora")
    )
    assert (same.top, same.rest, same.logprobs, same.ids) == (base.top, base.rest, base.logprobs, ())
    assert other.top != base.top and np.allclose(np.exp(other.top).sum(1) + np.exp(other.rest), 1, atol=1e-7)


@pytest.mark.parametrize("architecture", ["llama", "t5"])
def test_divergence_against_scipy_over_the_whole_vocabulary(architecture, engine, ask):
    """scipy.stats.entropy of the full softmax; with fewer tokens a lower bound, larger with every token more."""
    whole = 10_000
    base, candidate = engine(architecture), engine(f"{architecture}-lora")
    found = {}
    for top_k in (1, 8, 64, whole):
        (asked,) = ask(base, [Profile(text=TEXT, top_k=top_k)])
        (answer,) = ask(candidate, [Profile(text=TEXT, top_k=0, at=asked.ids)])
        found[top_k] = divergence(asked, answer)
    vocabulary = len(asked.ids[0])
    assert vocabulary == base._loaded.model.config.vocab_size and set(asked.rest) == {None}
    p, q = np.empty((2, len(asked.tokens), vocabulary))
    for place, ids in enumerate(asked.ids):
        p[place, list(ids)], q[place, list(ids)] = np.exp(asked.top[place]), np.exp(answer.top[place])
    assert np.allclose(found[whole], entropy(p, q, axis=1), atol=1e-7) and found[whole].mean() > 0.01
    for fewer, more in ((1, 8), (8, 64), (64, whole)):
        assert (found[fewer] <= found[more] + 1e-7).all() and found[fewer].sum() < found[more].sum()


def test_room_and_virtual_tokens_cut_all_models_alike(engine, ask, tiny):
    long, room = " ".join([TEXT] * 8), tiny.WINDOW - tiny.VIRTUAL
    base, prompt = (
        ask(engine(name), [Profile(text=long, top_k=2, piece_limit=room)])[0] for name in ("llama", "llama-prompt")
    )
    assert base.tokens == prompt.tokens
    (again,) = ask(engine("llama"), [Profile(text=long, top_k=2, piece_limit=room // 2)])
    assert again.tokens == base.tokens and again.logprobs[: room // 2] == pytest.approx(
        base.logprobs[: room // 2], abs=1e-4
    )
    assert again.logprobs != pytest.approx(base.logprobs, abs=1e-4)


def test_what_cannot_be_asked_is_a_failure(engine, ask, zoo):
    impossible = [
        Profile(text="a\ud800", top_k=2),
        Profile(text=TEXT, top_k=0, at=((1,),)),
        Profile(text="cat", top_k=0, at=((9999,),)),
        Profile(text="x" * 200, top_k=2, context="the cat"),
    ]
    unreadable, miscounted, beyond, long, good = ask(engine("gpt2"), [*impossible, Profile(text="cat", top_k=2)])
    assert [type(answer) for answer in (unreadable, miscounted, beyond, long, good)] == [Failure] * 4 + [Profiling]
    assert "tokenised" in unreadable.reason and "the request asks at" in miscounted.reason
    assert beyond.reason == BEYOND and "do not fit the window" in long.reason


@pytest.mark.fault(14)
def test_non_finite_logits_fail_the_text_they_touch_and_no_other(zoo):
    loaded = load(recognise(str(zoo["llama"])), "float32", "cpu")
    spoiled = loaded.tokenizer.encode(" dog", add_special_tokens=False)
    with torch.no_grad():
        loaded.model.model.embed_tokens.weight[spoiled[0]] = torch.nan
    model = model_adapter(loaded, 96)
    profiler = Profiler(model, partial(in_forward_passes, model, BatchLimits(8, 10_000)))
    bad, good = profiler.profile([Profile(text="the dog ran over", top_k=2), Profile(text="the cat", top_k=2)])
    assert bad == Failure(request_id=bad.request_id, reason="non-finite logits") and isinstance(good, Profiling)


def test_kept_in_the_store(engine, ask, tmp_path):
    answers = ask(
        engine("llama"), [Profile(text=TEXT, top_k=3), Profile(text="cat", top_k=1000), Profile(text="", top_k=3)]
    )
    assert answers[2].tokens == () and json.dumps(answers[1].rest).startswith("[null")
    with Store(tmp_path / "store.sqlite") as store:
        store.add("model", "engine", answers)
        assert store.read("model", "engine", [answer.request_id for answer in answers]) == {
            answer.request_id: answer for answer in answers
        }
