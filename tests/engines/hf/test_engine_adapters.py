"""Every type of adapter that is supported, on every architecture that it is supported with, against peft's own forward
and `generate` of one
unpadded row; and in batches of any size and order. Parametrised from the table, so that a new type cannot be
forgotten.
"""

from __future__ import annotations

import copy
import random
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from peft import PeftModel
from slow_cases import first_of_each

from evalharness.checkpoints.kinds import TYPES
from evalharness.checkpoints.load import LoadedModel, load
from evalharness.checkpoints.recognise import recognise
from evalharness.engines.hf.architectures import model_adapter
from evalharness.engines.hf.engine import engine_on
from evalharness.records.models import Checkpoint, EngineSettings
from evalharness.records.requests import Generate, Rank

BASES = {"causal": ("llama",), "seq2seq": ("t5",)}
LEADING = (
    ("causal", "gpt2"),
    ("causal", "qwen3"),
    ("seq2seq", "bart"),
)  # other habits of positions, heads and special tokens
MORE = ("LORA", "IA3", "PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING")
ALL = [
    (kind, base)
    for kind, facts in TYPES.items()
    for architecture in facts.architectures
    for base in BASES[architecture]
]
ALL += [(kind, base) for kind in MORE for architecture, base in LEADING if architecture in TYPES[kind].architectures]
NEAR_TIE = 1e-4  # of the two largest values; below, padding may decide
NEW = 5
TASK = 1  # of adapters that learned several


@dataclass(frozen=True)
class Subject:
    """A checkpoint in memory as we load it, and as peft does."""

    checkpoint: Checkpoint
    loaded: LoadedModel
    peft: PeftModel
    options: dict[str, object]  # what peft must be told at each call

    @property
    def decodes_apart(self) -> bool:
        return self.loaded.architecture == "seq2seq"


def asked(zoo, kind: str, base: str) -> str:
    """How a user names it."""
    several = {"MULTITASK_PROMPT_TUNING", "POLY"}
    return f"{zoo[f'{base}-{kind}']}#{TASK}" if kind in several else str(zoo[f"{base}-{kind}"])


@pytest.fixture(scope="module")
def bare(zoo, tiny):
    """A base for peft to load adapters onto, a fresh copy each time."""
    models = {}

    def copied(base: str):
        if base not in models:
            models[base] = tiny.open_model(zoo[base]).eval()
        return copy.deepcopy(models[base])

    return copied


@pytest.fixture(scope="module")
def resident() -> dict[str, object]:
    return {}


def which(kind, base):
    """Every type on one architecture, and LoRA, prompts and prefixes on all."""
    return kind, base if kind in ("LORA", "PROMPT_TUNING", "PREFIX_TUNING") else ""


@pytest.fixture
def subject(kind, base, zoo, bare, resident) -> Subject:
    checkpoint = recognise(asked(zoo, kind, base))
    assert checkpoint.adapter == kind and checkpoint.kind == TYPES[kind].kind
    loaded = load(checkpoint, "float32", "cpu", resident.get(base))
    resident[base] = loaded.resident
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = PeftModel.from_pretrained(bare(base), str(zoo[f"{base}-{kind}"])).eval()
    options = {} if checkpoint.adapter_task is None else {"task_ids": torch.tensor([checkpoint.adapter_task])}
    return Subject(checkpoint, loaded, theirs, options)


@pytest.fixture(scope="module")
def questions(words) -> list[Rank]:
    contexts, choices = words(2, 14, seed=11), words(8, 3, seed=12)
    several = [
        Rank(pairs=tuple((context, " " + choice) for choice in choices[4 * i : 4 * i + 4]))
        for i, context in enumerate(contexts)
    ]
    return [
        *several,
        Rank(pairs=(("the cat", " A"), ("the cat", " B"), ("", "the dog"), ("F P Z  ", "cat"))),
    ]  # letters of trained tokens


@pytest.fixture(scope="module")
def prompts(words) -> list[Generate]:
    return [Generate(prompt=text, stop=(), max_tokens=NEW) for text in words(3, 12, seed=13)]


def forward(subject: Subject, context: Sequence[int], continuation: Sequence[int]) -> torch.Tensor:
    """peft's own logits at every token of the continuation, (tokens, vocabulary), in one pass over one unpadded row."""
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if subject.decodes_apart:
            ids, told = torch.tensor([context]), dict(subject.options)
            if TYPES[subject.checkpoint.adapter].acts == "layers":  # with labels AdaLoRA's forward wants to be trained
                told["decoder_input_ids"] = torch.tensor(
                    [[subject.peft.config.decoder_start_token_id, *continuation[:-1]]]
                )
            else:  # multitask prompts leave out decoder_input_ids
                told["labels"] = torch.tensor([continuation])
            return subject.peft(input_ids=ids, attention_mask=torch.ones_like(ids), **told).logits[0]
        ids = torch.tensor([[*context, *continuation][:-1]])
        return subject.peft(input_ids=ids, attention_mask=torch.ones_like(ids), **subject.options).logits[
            0, -len(continuation) :
        ]


def near_tie(values: torch.Tensor) -> bool:
    best = values.topk(2, dim=-1).values
    return bool((best[..., 0] - best[..., 1]).min() < NEAR_TIE)


def greedy(subject: Subject, prompt: Sequence[int], ends: frozenset[int]) -> tuple[list[int], bool]:
    """What peft's own forward goes on with, token by token without cache, and whether a near tie decided one of
    them.
    """
    new: list[int] = []
    close, forced = False, subject.peft.get_base_model().generation_config.forced_eos_token_id
    while len(new) < NEW and not (new and new[-1] in ends):
        logits = forward(subject, prompt, [*new, 0])[-1]
        close |= near_tie(logits)
        new.append(forced if forced is not None and len(new) == NEW - 1 else int(logits.argmax()))
    return new, close


def generated(subject: Subject, prompt: Sequence[int]) -> list[int]:
    """New tokens of peft's own greedy `generate` of one unpadded row."""
    ids = torch.tensor([prompt])
    told = {
        "do_sample": False,
        "num_beams": 1,
        "max_new_tokens": NEW,
        "pad_token_id": subject.loaded.tokenizer.pad_token_id or 0,
    }
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tokens = subject.peft.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **told, **subject.options)[
            0
        ].tolist()
    return tokens[1:] if subject.decodes_apart else tokens[len(prompt) :]


def answers(subject: Subject, requests: Sequence[Rank | Generate], batch_size: int, seed: int = 0) -> Iterator[object]:
    """In the order of the requests, asked in another."""
    engine = engine_on(subject.loaded, subject.checkpoint, EngineSettings(batch_size=batch_size))
    shuffled = random.Random(seed).sample(list(requests), len(requests))
    by_name = {answer.request_id: answer for answer in engine.answer(shuffled)}
    return (by_name[request.id] for request in requests)


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")  # torch to peft's FRoD
@pytest.mark.parametrize(("kind", "base"), first_of_each(ALL, which))
def test_scores_and_texts_are_pefts_whatever_the_batch(subject, questions, prompts):
    """|difference| at most max(1e-4, 1e-6·|ll|) per pair, the same choice and the same greedy text, at batch sizes 1, 4
    and 16.
    """
    texts, batches = model_adapter(subject.loaded, None).tokenizer, (1, 4, 16)
    by_size = [list(answers(subject, [*questions, *prompts], size, seed=size)) for size in batches]
    for i, request in enumerate(questions):
        theirs = []
        for context, continuation in request.pairs:
            pair = texts.pair(context, continuation)
            logprobs = torch.log_softmax(forward(subject, pair.context, pair.continuation).double(), -1)
            theirs.append(float(logprobs[torch.arange(len(pair.continuation)), torch.tensor(pair.continuation)].sum()))
        for found in by_size:
            for ours, expected in zip(found[i].logprobs, theirs, strict=True):
                assert abs(ours - expected) <= max(1e-4, 1e-6 * abs(expected))
            if not near_tie(torch.tensor(theirs)):
                assert torch.tensor(found[i].logprobs).argmax() == torch.tensor(theirs).argmax()
    ends, ties = _ends(subject), 0
    for i, request in enumerate(prompts, start=len(questions)):
        tokens, close = greedy(subject, texts.prompt(request.prompt), ends)
        ties += close
        if not close:
            assert [(found[i].text, found[i].tokens) for found in by_size] == [
                (texts.decode(tokens), len(tokens))
            ] * len(batches)
    assert ties <= 1
    engine = engine_on(subject.loaded, subject.checkpoint, EngineSettings())
    on, off = (engine.next_token_logits(["F P Z"], adapter=adapter, path="score") for adapter in (True, False))
    assert np.abs(on - off).max() > 0.01  # it is the adapter that was compared
    alone = generated(subject, texts.prompt(prompts[0].prompt))
    assert by_size[0][len(questions)].text == texts.decode(alone)


def _ends(subject: Subject) -> frozenset[int]:
    ends = subject.peft.get_base_model().generation_config.eos_token_id
    own = subject.loaded.tokenizer.eos_token_id
    return frozenset([*(ends if isinstance(ends, list) else [ends]), own]) - {None}
