"""Greedy texts against lm-eval's HFLM, peft, `generate` of one row, and a loop without cache; stops, ends and counts
per row.
"""

from __future__ import annotations

import json
import shutil
import warnings

import pytest
import torch
from slow_cases import quick_ones
from transformers import AutoModelForCausalLM

from evalharness.checkpoints.load import load
from evalharness.checkpoints.recognise import recognise
from evalharness.engines.hf.architectures import model_adapter
from evalharness.engines.hf.batches import BatchLimits
from evalharness.engines.hf.decoding import Decoder
from evalharness.engines.hf.tokenizer_adapter import TokenizerAdapter
from evalharness.records.requests import Failure, Generate, Generation

ALL = [f"{architecture}{kind}" for architecture in ("llama", "gpt2", "qwen3") for kind in ("", "-lora", "-prompt")]
QUICK = ("llama", "gpt2-lora", "qwen3-prompt")  # every architecture, and every kind


@pytest.mark.parametrize("name", quick_ones(ALL, QUICK))
def test_same_text_as_lm_eval(name, engine, ask, oracle, generations):
    """At any batch size of ours. lm-eval's own texts of prompt-tuned models depend on its batch size, and are right at
    1 only.
    """
    expected = oracle(name, 1).generate(generations)
    if "prompt" not in name:
        assert oracle(name, 4).generate(generations) == expected
    for batch_size in (1, 4, 16):
        assert [answer.text for answer in ask(engine(name, batch_size=batch_size), generations)] == expected


def plain_loop(ours, request, ends):
    """Token by token over the whole text, no cache, no padding, no `generate`: new tokens until a stop string, an end
    token or the limit.
    """
    texts, loaded = TokenizerAdapter(ours._loaded.tokenizer), ours._loaded
    tokens = list(texts.prompt(request.prompt))
    start = len(tokens)
    for _ in range(request.max_tokens):
        embedded = loaded.model.get_input_embeddings()(torch.tensor([tokens]))
        if loaded.lead.embeddings is not None:
            embedded = torch.cat([loaded.lead.embeddings.unsqueeze(0), embedded], dim=1)
        with torch.inference_mode():
            tokens.append(int(loaded.model(inputs_embeds=embedded, use_cache=False).logits[0, -1].argmax()))
        text = texts.decode(tokens[start:])
        if any(stop in text for stop in request.stop):
            return "stop", len(tokens) - start
        if tokens[-1] in ends:
            return "eos", len(tokens) - start
    return "length", len(tokens) - start


@pytest.mark.fault(16)
@pytest.mark.parametrize("name", ["llama-lora", "gpt2-prompt", "qwen3"])
def test_reason_and_count_of_each_row(name, engine, ask, generations):
    ours = engine(name)
    requests = [
        Generate(prompt=request.prompt, stop=("a", "r") if i % 2 else (), max_tokens=14)
        for i, request in enumerate(generations)
    ]
    answers = ask(ours, requests)
    assert [(answer.finish_reason, answer.tokens) for answer in answers] == [
        plain_loop(ours, request, ours._decoder.ends) for request in requests
    ]
    assert len({answer.finish_reason for answer in answers}) >= 2


def test_each_row_has_its_own_limit_and_stops(engine, ask, words):
    """Requests of one block with different limits and stop strings are answered as if alone."""
    prompts = words(9, 12, seed=3)
    mixed = [
        Generate(prompt=prompt, stop=stop, max_tokens=limit)
        for prompt, stop, limit in zip(prompts, [("\n",), ("e",), ()] * 3, [3, 9, 12] * 3, strict=True)
    ]
    ours = engine("llama")
    together, alone = ask(ours, mixed), [ask(ours, [request])[0] for request in mixed]
    assert together == alone
    assert all(answer.tokens <= request.max_tokens for answer, request in zip(together, mixed, strict=True))


def test_the_text_is_cut_before_the_first_stop_string(engine, ask):
    """The earliest in the text, not in the list; one that spans tokens too."""
    ours = engine("llama")
    free = ask(ours, [Generate(prompt="the cat", stop=(), max_tokens=14)])[0].text
    late, early = free[8:10], free[3:6]
    answer = ask(ours, [Generate(prompt="the cat", stop=(late, early), max_tokens=14)])[0]
    assert answer.text == free[: min(free.index(late), free.index(early))] and answer.finish_reason == "stop"
    assert answer.tokens < 14


def changed(zoo, name, folder, **generation):
    """A copy of a checkpoint with other values in its generation config."""
    shutil.copytree(zoo[name], folder)
    path = folder / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **generation}))
    return folder


def test_several_end_tokens(zoo, engine, ask, generations, tmp_path):
    """Any of the generation config's end tokens ends a row, the tokenizer's own too; no other row is touched."""
    free = [Generate(prompt=request.prompt, stop=(), max_tokens=14) for request in generations]
    base = engine("qwen3")
    tokenizer = TokenizerAdapter(base._loaded.tokenizer)
    starts = [plain_tokens(base, request)[3] for request in free[:2]]
    ended = engine(changed(zoo, "qwen3", tmp_path / "ends", eos_token_id=[2, *starts]))
    for request, answer in zip(free, ask(ended, free), strict=True):
        tokens = plain_tokens(base, request)
        cut = next((i + 1 for i, token in enumerate(tokens) if token in {2, *starts}), len(tokens))
        assert (answer.tokens, answer.text) == (cut, tokenizer.decode(tokens[:cut]))
        assert answer.finish_reason == ("eos" if tokens[cut - 1] in {2, *starts} else "length")


def plain_tokens(ours, request):
    """What the model itself goes on with, by a loop without cache."""
    tokens = list(TokenizerAdapter(ours._loaded.tokenizer).prompt(request.prompt))
    start = len(tokens)
    for _ in range(request.max_tokens):
        with torch.inference_mode():
            tokens.append(
                int(ours._loaded.model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0, -1].argmax())
            )
    return tokens[start:]


@pytest.mark.parametrize(
    "penalty", [{"repetition_penalty": 1.7}, {"no_repeat_ngram_size": 2}, {"suppress_tokens": list(range(250, 330))}]
)
def test_penalties_are_honoured_in_any_batch(penalty, zoo, engine, ask, generations, tmp_path):
    """As transformers' own generate of one unpadded row does; a padded batch must not let penalties see the padding."""
    free = [Generate(prompt=request.prompt, stop=(), max_tokens=14) for request in generations]
    path = changed(zoo, "gpt2", tmp_path / "penalty", **penalty)
    model = AutoModelForCausalLM.from_pretrained(path)
    ours = engine(path)
    texts = TokenizerAdapter(ours._loaded.tokenizer)
    answers = ask(ours, free)
    assert [answer.text for answer in answers] != [answer.text for answer in ask(engine("gpt2"), free)]
    for request, answer in zip(free, answers, strict=True):
        ids = torch.tensor([texts.prompt(request.prompt)])
        tokens = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=14, pad_token_id=0
        )[0, ids.shape[1] :]
        assert answer.text == texts.decode(tokens.tolist())


def test_penalties_see_the_text_behind_a_soft_prompt(zoo, engine, ask, generations, tmp_path, peft_model):
    """As peft's own generate of one unpadded row does."""
    free = [Generate(prompt=request.prompt, stop=(), max_tokens=10) for request in generations[:6]]
    path = changed(zoo, "gpt2", tmp_path / "base", repetition_penalty=1.7)
    loaded = load(recognise(str(zoo["gpt2-prompt"]), base=str(path)), "float32", "cpu")
    ours = Decoder(model_adapter(loaded, None), BatchLimits(4, 999))
    theirs = peft_model("gpt2-prompt")
    by_name = {answer.request_id: answer for answer in ours.generate(free)}
    for request in free:
        ids = torch.tensor([ours.model.tokenizer.prompt(request.prompt)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tokens = theirs.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=10,
                pad_token_id=0,
                repetition_penalty=1.7,
            )
        assert by_name[request.id].text == ours.model.tokenizer.decode(tokens[0, ids.shape[1] :].tolist())


def test_the_least_length_does_not_count_a_soft_prompt(zoo, generations, tmp_path, peft_model, ask, engine):
    """As in peft's own generate of one unpadded row: text counts, virtual tokens do not."""
    theirs = peft_model("gpt2-prompt")
    often = TokenizerAdapter(engine("gpt2")._loaded.tokenizer).encode(
        ask(engine("gpt2-prompt"), [Generate(prompt=generations[0].prompt, stop=(), max_tokens=2)])[0].text
    )
    rule = {"min_length": 14, "eos_token_id": [0, *often]}
    path = changed(zoo, "gpt2", tmp_path / "base", **rule)
    loaded = load(recognise(str(zoo["gpt2-prompt"]), base=str(path)), "float32", "cpu")
    ours = Decoder(model_adapter(loaded, None), BatchLimits(4, 999))
    free = [Generate(prompt=request.prompt, stop=(), max_tokens=10) for request in generations[:6]]
    by_name = {answer.request_id: answer for answer in ours.generate(free)}
    for request in free:
        ids = torch.tensor([ours.model.tokenizer.prompt(request.prompt)])
        least = {**rule, "min_length": min(rule["min_length"], ids.shape[1] + 10)}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            told = {"attention_mask": torch.ones_like(ids), "do_sample": False, "max_new_tokens": 10, "pad_token_id": 0}
            tokens = theirs.generate(input_ids=ids, **told, **least)[0, ids.shape[1] :].tolist()
        assert (by_name[request.id].text, by_name[request.id].tokens) == (
            ours.model.tokenizer.decode(tokens),
            len(tokens),
        )
    assert len({by_name[request.id].tokens for request in free}) > 1


def test_sampling_settings_of_a_checkpoint_are_set_aside(zoo, engine, ask, generations, tmp_path):
    """Greedy text, and no warning (warnings are errors here)."""
    path = changed(
        zoo, "llama", tmp_path / "hot", do_sample=True, temperature=0.6, top_p=0.9, top_k=20, num_beams=4, max_length=7
    )
    assert ask(engine(path), generations) == ask(engine("llama"), generations)


@pytest.mark.fault(17)
def test_a_request_over_the_window_is_a_failure(engine, ask, tiny):
    """Prompt, virtual tokens and all new tokens must fit; nothing is ever cut."""
    ours, soft = engine("gpt2"), engine("gpt2-prompt")
    length = tiny.WINDOW - 10
    fits, over = (
        Generate(prompt=" cat" * length, stop=(), max_tokens=10),
        Generate(prompt=" cat" * (length + 1), stop=(), max_tokens=10),
    )
    answers = ask(ours, [fits, over])
    assert isinstance(answers[0], Generation) and isinstance(answers[1], Failure) and "window" in answers[1].reason
    assert isinstance(ask(soft, [fits])[0], Failure)


def test_nothing_new_asked_for(engine, ask):
    assert ask(engine("gpt2"), [Generate(prompt="the cat", stop=(), max_tokens=0)])[0] == Generation(
        request_id=Generate(prompt="the cat", stop=(), max_tokens=0).id, text="", finish_reason="length", tokens=0
    )


@pytest.mark.fault(15)
def test_an_end_token_first_is_an_empty_answer(zoo, engine, ask, tmp_path):
    first = plain_tokens(engine("qwen3"), Generate(prompt="the cat", stop=(), max_tokens=1))[0]
    path = changed(zoo, "qwen3", tmp_path / "first", eos_token_id=first)
    config = json.loads((path / "tokenizer_config.json").read_text())
    own = load(recognise(str(zoo["qwen3"])), "float32", "cpu").tokenizer.convert_ids_to_tokens(first)
    (path / "tokenizer_config.json").write_text(json.dumps({**config, "eos_token": own}))
    answer = ask(engine(path), [Generate(prompt="the cat", stop=("\n",), max_tokens=8)])[0]
    assert (answer.text, answer.tokens) == ("", 1)


class TestInside:
    @pytest.fixture
    def loaded(self, zoo):
        return load(recognise(str(zoo["llama"])), "float32", "cpu")

    @staticmethod
    def answers(loaded, requests, rows=8):
        decoder = Decoder(model_adapter(loaded, None), BatchLimits(rows, 10_000))
        by_name = {answer.request_id: answer for answer in decoder.generate(requests)}
        return [by_name[request.id] for request in requests]

    @pytest.mark.fault(14)
    def test_non_finite_logits_fail_the_requests_they_touch_and_no_others(self, loaded):
        spoiled = loaded.tokenizer.encode(" dog", add_special_tokens=False)
        with torch.no_grad():
            loaded.model.model.embed_tokens.weight[spoiled[0]] = torch.nan
        bad, good = self.answers(
            loaded,
            [
                Generate(prompt="the dog", stop=(), max_tokens=4),
                Generate(prompt="the cat sat on", stop=(), max_tokens=4),
            ],
        )
        assert bad == Failure(request_id=bad.request_id, reason="non-finite logits")
        assert isinstance(good, Generation)

    @pytest.mark.fault(12)
    def test_too_little_memory_halves_the_batch(self, loaded, generations):
        expected = self.answers(loaded, generations)
        sizes = []

        def choke(_module, _args, inputs):
            sizes.append(len(inputs["input_ids"]))
            if sizes[-1] > 2:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

        loaded.model.register_forward_pre_hook(choke, with_kwargs=True)
        assert self.answers(loaded, generations) == expected
        assert max(sizes) == 8

    @pytest.mark.fault(12)
    def test_too_little_memory_for_one_row_is_a_failure(self, loaded):
        def choke(_module, _args, _inputs):
            raise MemoryError

        loaded.model.register_forward_pre_hook(choke, with_kwargs=True)
        assert isinstance(self.answers(loaded, [Generate(prompt="the cat", stop=(), max_tokens=4)])[0], Failure)
