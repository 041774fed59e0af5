"""Encoder-decoder models through the same engine: lm-eval's HFLM and the model's own forward and `generate` of one row
are the oracles.
"""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from slow_cases import first_of_each
from transformers import AutoModelForSeq2SeqLM

from evalharness.checkpoints.load import load
from evalharness.checkpoints.recognise import recognise
from evalharness.engines.adapter_check import prove
from evalharness.engines.hf.architectures import model_adapter, pair_scorer
from evalharness.engines.hf.batches import BatchLimits
from evalharness.engines.hf.factory import FACTORY
from evalharness.engines.hf.scoring import Scorer
from evalharness.errors import ModelError
from evalharness.records.models import EngineSettings
from evalharness.records.requests import Failure, Generate, Generation, Rank, Ranking, Score, Scoring

PLAIN = ("t5", "bart")
PROMPTS = ["the cat sat on a mat and a dog ran over", "Question : what is it ?", "yes"]


def close(ours: float, theirs: float) -> bool:
    return abs(ours - theirs) <= max(1e-4, 1e-6 * abs(theirs))


@pytest.fixture(scope="module")
def open_model(zoo):
    return lambda name: AutoModelForSeq2SeqLM.from_pretrained(zoo[name] if isinstance(name, str) else name).eval()


def changed(zoo, name, folder, **generation):
    """A copy of a checkpoint with other values in its generation config."""
    shutil.copytree(zoo[name], folder)
    path = folder / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **generation}))
    return folder


@pytest.mark.parametrize("batch_size", [pytest.param(1, marks=pytest.mark.slow), 4])
@pytest.mark.parametrize("name", PLAIN)
def test_rankings_equal_lm_eval(name, batch_size, engine, ask, oracle, rankings):
    """Every pair's log-likelihood and greedy flag, and every choice, as lm-eval 0.4.13's seq2seq backend has them; odd
    contexts too.
    """
    theirs = oracle(name, batch_size)
    assert theirs.model.backend == "seq2seq"
    for request, answer in zip(rankings, ask(engine(name, batch_size=batch_size), rankings), strict=True):
        expected = theirs.rank(request)
        assert all(close(ours, logprob) for ours, (logprob, _) in zip(answer.logprobs, expected, strict=True))
        assert list(answer.greedy) == [greedy for _, greedy in expected]
        top = sorted(logprob for logprob, _ in expected)
        assert top[-1] - top[-2] < 2e-4 or int(np.argmax(answer.logprobs)) == int(
            np.argmax([logprob for logprob, _ in expected])
        )


@pytest.mark.parametrize("batch_size", [pytest.param(1, marks=pytest.mark.slow), 4])
@pytest.mark.parametrize("name", PLAIN)
def test_whole_texts_equal_lm_eval(name, batch_size, engine, ask, oracle, words):
    """lm-eval's rolling windows: what is before a window goes to the encoder, the window to the decoder; longer than
    BART's 96 positions too.
    """
    ours, theirs = engine(name, batch_size=batch_size), oracle(name, batch_size)
    texts = [
        "cat",
        "the cat sat on a mat .",
        "",
        "naïve \u65e5\u672c",
        " ".join(words(40, 18, seed=3)),
        "<s>the cat",
        "</s>the cat",
    ]
    for text, answer in zip(texts, ask(ours, [Score(text=text) for text in texts]), strict=True):
        assert close(answer.logprob, theirs.score(text)), text
        assert answer.tokens == len(model_adapter(ours._loaded, None).tokenizer.encode(text))


@pytest.mark.parametrize("name", PLAIN)
def test_texts_equal_lm_eval(name, engine, ask, oracle, generations):
    """TrainingSource the length of the decoder's part, which lm-eval would take to begin where the prompt ends. It pads
    the encoder's text on the left:
    with BART's learnt positions its own texts depend on its batch size, and are right at 1 only."""
    told = [(r.prompt, {"until": list(r.stop), "max_length": 1 + r.max_tokens}) for r in generations]
    expected = oracle(name, 1)._run("generate_until", told)
    assert (oracle(name, 4)._run("generate_until", told) == expected) == (name == "t5")
    for batch_size in (1, 4, 16):
        assert [answer.text for answer in ask(engine(name, batch_size=batch_size), generations)] == expected


@pytest.mark.parametrize("name", PLAIN)
def test_pairs_are_lm_evals(name, engine, oracle):
    texts, theirs = model_adapter(engine(name)._loaded, None).tokenizer, oracle(name, 1).model
    assert texts.prefix == theirs.prefix_token_id
    for context in ("the cat", "the cat  ", " ", "\n", "a \u65e5"):
        for continuation in (" yes", "no", "\nthe cat sat"):
            pair = texts.pair(context, continuation)
            assert (list(pair.context), list(pair.continuation)) == theirs._encode_pair(context, continuation)
    assert texts.pair("", "the cat").context == (texts.prefix,)


@pytest.mark.parametrize("name", PLAIN)
def test_equals_the_models_own_forward_with_labels(name, engine, ask, open_model, rankings):
    ours, theirs = engine(name), open_model(name)
    texts = model_adapter(ours._loaded, None).tokenizer
    for request, answer in zip(rankings, ask(ours, rankings), strict=True):
        for (context, continuation), logprob in zip(request.pairs, answer.logprobs, strict=True):
            pair = texts.pair(context, continuation)
            with torch.inference_mode():
                loss = theirs(input_ids=torch.tensor([pair.context]), labels=torch.tensor([pair.continuation])).loss
            assert close(logprob, -float(loss) * len(pair.continuation))


@pytest.mark.parametrize("name", [*PLAIN, "t5-lora", "bart-prompt"])
def test_both_paths_agree_off_is_the_base_and_all_is_proved(name, engine, open_model, zoo):
    ours, base = engine(name), open_model(name.partition("-")[0])
    score, decode = (ours.next_token_logits(PROMPTS, adapter=True, path=path) for path in ("score", "decode"))
    assert np.abs(score - decode).max() < 1e-4
    for path in ("score", "decode"):
        for prompt, logits in zip(PROMPTS, ours.next_token_logits(PROMPTS, adapter=False, path=path), strict=True):
            with torch.inference_mode():
                ids = torch.tensor([ours._loaded.tokenizer(prompt)["input_ids"]])
                expected = (
                    base(ids, decoder_input_ids=torch.tensor([[base.config.decoder_start_token_id]]))
                    .logits[0, -1]
                    .numpy()
                )
            assert np.abs(logits - expected).max() < 1e-4
    proof = prove(ours, recognise(str(zoo[name])), PROMPTS, allow_noop=False)
    assert (proof.scoring > 0.1 and proof.decoding > 0.1) == ("-" in name) and proof.padding < 1e-3


RULES = [
    {"forced_bos_token_id": 40},
    {"decoder_start_token_id": 50},
    {"repetition_penalty": 1.7},
    {"no_repeat_ngram_size": 2},
    {"encoder_no_repeat_ngram_size": 2},
    {"encoder_repetition_penalty": 1.7},
    {"min_length": 9},
    {"min_length": 60},
    {"suppress_tokens": list(range(250, 330))},
]


@pytest.mark.parametrize(
    ("name", "rule"),
    first_of_each(
        ((PLAIN[(number + turn) % 2], rule) for number, rule in enumerate(RULES) for turn in (0, 1)),
        lambda name, rule: str(rule),
    ),
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_the_generation_config_is_honoured_in_any_batch(
    name, rule, zoo, engine, ask, open_model, generations, tmp_path
):
    """As transformers' own `generate` of one unpadded row does; several end tokens beside the rule, so that rows end at
    different places.
    """
    base = open_model(name)
    often = base.generate(torch.tensor([[40, 41, 42]]), do_sample=False, max_new_tokens=5, min_new_tokens=5)[
        0, -2
    ].item()
    rule = {**rule, "eos_token_id": sorted({base.generation_config.eos_token_id, often})}
    free = [Generate(prompt=request.prompt, stop=(), max_tokens=12) for request in generations[:6]]
    path = changed(zoo, name, tmp_path / "ruled", **rule)
    ours, theirs = engine(path), open_model(path)
    texts = model_adapter(ours._loaded, None).tokenizer
    answers = ask(ours, free)
    for request, answer in zip(free, answers, strict=True):
        ids = torch.tensor([texts.prompt(request.prompt)])
        least = {"min_length": min(13, rule["min_length"])} if "min_length" in rule else {}
        tokens = theirs.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=12, **least)[
            0, 1:
        ].tolist()
        assert (answer.text, answer.tokens) == (texts.decode(tokens), len(tokens))


def test_beams_and_lengths_of_a_checkpoint_are_set_aside(zoo, engine, ask, generations, tmp_path):
    """What BART's summarisers come with: greedy text all the same, and no warning (warnings are errors here)."""
    given = {
        "num_beams": 4,
        "length_penalty": 2.0,
        "early_stopping": True,
        "max_length": 7,
        "do_sample": True,
        "temperature": 0.5,
    }
    path = changed(zoo, "bart", tmp_path / "beams", **given)
    assert ask(engine(path), generations) == ask(engine("bart"), generations)


def test_stop_strings_end_and_cut_each_row(engine, ask, zoo, tmp_path):
    ours = engine("t5")
    free = ask(ours, [Generate(prompt=prompt, stop=(), max_tokens=12) for prompt in PROMPTS])
    longest = max(range(len(PROMPTS)), key=lambda i: len(free[i].text))
    stop = free[longest].text[2:4]
    for answer, whole in zip(
        ask(ours, [Generate(prompt=prompt, stop=(stop,), max_tokens=12) for prompt in PROMPTS]), free, strict=True
    ):
        assert answer.text == whole.text.partition(stop)[0] and (answer.finish_reason == "stop") == (stop in whole.text)
    path = changed(zoo, "t5", tmp_path / "stops", stop_strings=[stop])
    assert ask(engine(path), [Generate(prompt=PROMPTS[longest], stop=(), max_tokens=12)])[0].finish_reason == "stop"


def test_encoder_and_decoder_have_a_window_each(engine, ask, tiny):
    """Nothing is cut; the answer takes no room from the prompt. Virtual tokens stand with the encoder, a prefix with
    the decoder.
    """
    ours, full = engine("bart"), tiny.WINDOW
    room = full - 2  # BOS and EOS
    fits, over = " cat" * room, " cat" * (room + 1)
    answers = ask(
        ours,
        [
            Rank(pairs=((fits, " cat" * full),)),
            Rank(pairs=((over, " cat"),)),
            Rank(pairs=(("the", " cat" * (full + 1)),)),
        ],
    )
    assert isinstance(answers[0], Ranking)
    assert isinstance(answers[1], Failure) and "window of 96 of the encoder" in answers[1].reason
    assert isinstance(answers[2], Failure) and "window of 96 of the decoder" in answers[2].reason
    answers = ask(
        ours,
        [
            Generate(prompt=fits, stop=(), max_tokens=full),
            Generate(prompt=over, stop=(), max_tokens=1),
            Generate(prompt="the", stop=(), max_tokens=full + 1),
        ],
    )
    assert isinstance(answers[0], Generation) and all(isinstance(answer, Failure) for answer in answers[1:])
    soft, prefix = engine("bart-prompt"), engine("bart-PREFIX_TUNING")
    assert isinstance(ask(soft, [Generate(prompt=fits, stop=(), max_tokens=1)])[0], Failure) and isinstance(
        ask(soft, [Generate(prompt="a", stop=(), max_tokens=full)])[0], Generation
    )
    assert isinstance(ask(prefix, [Generate(prompt=fits, stop=(), max_tokens=1)])[0], Generation) and isinstance(
        ask(prefix, [Generate(prompt="a", stop=(), max_tokens=full)])[0], Failure
    )
    long = Score(text=" cat dog" * full)
    assert all(isinstance(ask(each, [long])[0], Scoring) for each in (ours, soft, prefix))


class TestInside:
    @pytest.fixture
    def loaded(self, zoo):
        return load(recognise(str(zoo["bart"])), "float32", "cpu")

    @pytest.mark.fault(14)
    def test_non_finite_logits_fail_the_requests_they_touch_and_no_others(self, loaded):
        spoiled = loaded.tokenizer.encode(" dog", add_special_tokens=False)
        with torch.no_grad():
            loaded.model.get_encoder().embed_tokens.weight = torch.nn.Parameter(
                loaded.model.get_encoder().embed_tokens.weight.clone()
            )
            loaded.model.get_encoder().embed_tokens.weight[spoiled[0]] = torch.nan
        bad, good = Scorer(model := model_adapter(loaded, None), lambda: pair_scorer(model, BatchLimits(8, 999))).rank(
            [Rank(pairs=(("the dog", " a"),)), Rank(pairs=(("the cat", " a"),))]
        )
        assert bad == Failure(request_id=bad.request_id, reason="non-finite logits") and isinstance(good, Ranking)

    def test_a_decoder_with_nothing_to_begin_with_is_refused(self, zoo, tmp_path):
        folder = changed(zoo, "t5", tmp_path / "lost", decoder_start_token_id=None, bos_token_id=None)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(
            json.dumps({**config, "decoder_start_token_id": None, "bos_token_id": None})
        )
        with pytest.raises(ModelError, match="decoder has nothing to begin with"):
            FACTORY.open(recognise(str(folder)), EngineSettings(device="cpu"))
