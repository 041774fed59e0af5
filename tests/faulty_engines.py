"""Engines and factories that break one promise each, and by which test of the contract that shows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from toy_engine import WINDOW, ToyCounter, ToyEngine, ToyFactory, tokens_of

from evalharness.engines.base import Engine
from evalharness.records.models import Checkpoint, EngineInfo, EngineSettings
from evalharness.records.requests import (
    Failure,
    Generate,
    Generation,
    Profile,
    Profiling,
    Rank,
    Ranking,
    Request,
    Response,
    Score,
    Scoring,
)

Answer = Response | Failure
Block = Callable[[ToyEngine, Sequence[Request]], Iterator[Answer] | list[Answer]]
FAULTS: dict[str, tuple[str, ToyFactory]] = {}  # by name: the test that fails, and the factory that makes it fail
turns = itertools.count()


def in_block(test: str) -> Callable[[Block], Block]:
    """Register a fault in what an engine answers to a block."""

    def register(block: Block) -> Block:
        kind = type(block.__name__, (ToyEngine,), {"answer": lambda self, requests: iter(block(self, requests))})
        FAULTS[block.__name__] = (test, ToyFactory(kind))
        return block

    return register


def in_answer(test: str, kind: type[Any]) -> Callable[[Callable[[Any, Any], Answer]], Any]:
    """Register a fault in the answers to one type of request, made of the request and the right answer."""

    def register(spoil: Callable[[Any, Any], Answer]) -> Any:
        def block(engine: ToyEngine, requests: Sequence[Request]) -> Iterator[Answer]:
            for request in requests:
                answer = engine.reply(request)
                spoiled = isinstance(request, kind) and not isinstance(answer, Failure)
                yield spoil(request, answer) if spoiled else answer

        block.__name__ = spoil.__name__
        in_block(test)(block)
        return spoil

    return register


def in_engine(test: str) -> Callable[[type[ToyEngine]], type[ToyEngine]]:
    def register(kind: type[ToyEngine]) -> type[ToyEngine]:
        FAULTS[kind.__name__] = (test, ToyFactory(kind))
        return kind

    return register


def in_factory(test: str) -> Callable[[type[ToyFactory]], type[ToyFactory]]:
    def register(kind: type[ToyFactory]) -> type[ToyFactory]:
        FAULTS[kind.__name__] = (test, kind())
        return kind

    return register


# ---- blocks


@in_block("test_every_request_gets_one_answer_of_its_type")
def loses_the_last(engine: ToyEngine, requests: Sequence[Request]) -> list[Answer]:
    return [engine.reply(request) for request in requests[:-1]]


@in_block("test_every_request_gets_one_answer_of_its_type")
def answers_the_first_twice(engine: ToyEngine, requests: Sequence[Request]) -> list[Answer]:
    return [engine.reply(request) for request in [*requests[:1], *requests]]


@in_block("test_every_request_gets_one_answer_of_its_type")
def has_ids_of_its_own(engine: ToyEngine, requests: Sequence[Request]) -> list[Answer]:
    return [replace(engine.reply(request), request_id=str(i)) for i, request in enumerate(requests)]


@in_block("test_an_empty_block_has_no_answers")
def needs_a_first_request(engine: ToyEngine, requests: Sequence[Request]) -> list[Answer]:
    return [engine.reply(requests[0]), *map(engine.reply, requests[1:])]


@in_block("test_equal_requests_are_answered_each")
def answers_equal_ones_once(engine: ToyEngine, requests: Sequence[Request]) -> list[Answer]:
    return [engine.reply(request) for request in {request.id: request for request in requests}.values()]


def moved(answer: Answer, by: float) -> Answer:
    return replace(answer, logprobs=tuple(p - by for p in answer.logprobs)) if isinstance(answer, Ranking) else answer


@in_block("test_the_same_block_asked_twice_is_answered_alike")
def answers_by_the_clock(engine: ToyEngine, requests: Sequence[Request]) -> list[Answer]:
    by = 1e-9 * next(turns)
    return [moved(engine.reply(request), by) for request in requests]


@in_block("test_the_order_of_a_block_moves_nothing")
def answers_by_the_place(engine: ToyEngine, requests: Sequence[Request]) -> list[Answer]:
    return [moved(engine.reply(request), 0.01 * i) for i, request in enumerate(requests)]


@in_block("test_what_shares_a_block_moves_nothing")
def answers_by_its_neighbours(engine: ToyEngine, requests: Sequence[Request]) -> list[Answer]:
    return [moved(engine.reply(request), 0.01 * len(requests)) for request in requests]


@in_block("test_any_script_and_any_emoji_is_answered")
def knows_ascii_only(engine: ToyEngine, requests: Sequence[Request]) -> list[Answer]:
    return [
        engine.reply(each) if "\\u" not in ascii(each) else Failure(request_id=each.id, reason="?") for each in requests
    ]


@in_block("test_a_request_that_cannot_be_answered_is_a_failure_and_spoils_no_other")
def raises_at_half_a_character(engine: ToyEngine, requests: Sequence[Request]) -> list[Answer]:
    if any("\\ud83d" in ascii(request) for request in requests):
        raise ValueError("surrogates")
    return [engine.reply(request) for request in requests]


@in_block("test_a_request_that_cannot_be_answered_is_a_failure_and_spoils_no_other")
def fails_whole_blocks(engine: ToyEngine, requests: Sequence[Request]) -> list[Answer]:
    answers = [engine.reply(request) for request in requests]
    failed = any(isinstance(answer, Failure) for answer in answers)
    return [Failure(request_id=each.id, reason="another failed") for each in requests] if failed else answers


@in_block("test_a_request_that_cannot_be_answered_is_a_failure_and_spoils_no_other")
def gives_no_reason(engine: ToyEngine, requests: Sequence[Request]) -> list[Answer]:
    answers = [engine.reply(request) for request in requests]
    return [replace(each, reason="") if isinstance(each, Failure) else each for each in answers]


@in_block("test_other_types_of_requests_are_failures")
def answers_what_it_says_it_does_not(engine: ToyEngine, requests: Sequence[Request]) -> list[Answer]:
    return [engine.reply(request) for request in requests]


@in_block("test_long_prompts_are_answered")
def reads_eight_words(engine: ToyEngine, requests: Sequence[Request]) -> list[Answer]:
    long = [each for each in requests if isinstance(each, Rank) and len(tokens_of(each.pairs[0][0])) > 8]
    return [Failure(request_id=each.id, reason="long") if each in long else engine.reply(each) for each in requests]


@in_block("test_what_is_longer_than_the_window_raises_nothing")
def raises_beyond_the_window(engine: ToyEngine, requests: Sequence[Request]) -> list[Answer]:
    if any(isinstance(each, Generate) and len(each.prompt.split()) > WINDOW for each in requests):
        raise IndexError("position")
    return [engine.reply(request) for request in requests]


@in_block("test_no_token_is_an_empty_text")
def writes_one_token_at_least(engine: ToyEngine, requests: Sequence[Request]) -> list[Answer]:
    least = [
        replace(each, max_tokens=1) if isinstance(each, Generate) and not each.max_tokens else each for each in requests
    ]
    answers = [engine.reply(request) for request in least]
    return [replace(answer, request_id=each.id) for each, answer in zip(requests, answers, strict=True)]


# ---- rankings, texts, profiles


@in_answer("test_every_request_gets_one_answer_of_its_type", Rank)
def scores_what_is_to_be_ranked(request: Rank, answer: Ranking) -> Answer:
    return Scoring(request_id=request.id, logprob=answer.logprobs[0], tokens=1)


@in_answer("test_numbers_are_finite_log_probabilities", Rank)
def divides_by_nothing(request: Rank, answer: Ranking) -> Answer:
    return replace(answer, logprobs=(math.nan, *answer.logprobs[1:]))


@in_answer("test_numbers_are_finite_log_probabilities", Rank)
def gives_losses(request: Rank, answer: Ranking) -> Answer:
    return replace(answer, logprobs=tuple(-logprob for logprob in answer.logprobs))


@in_answer("test_a_ranking_has_an_entry_for_every_pair", Rank)
def forgets_the_last_flag(request: Rank, answer: Ranking) -> Answer:
    return replace(answer, greedy=answer.greedy[:-1])


@in_block("test_pairs_of_a_request_may_have_contexts_of_their_own")
def reads_the_first_context(engine: ToyEngine, requests: Sequence[Request]) -> list[Answer]:
    shared = [
        replace(each, pairs=tuple((each.pairs[0][0], end) for _, end in each.pairs)) if isinstance(each, Rank) else each
        for each in requests
    ]
    answers = [engine.reply(request) for request in shared]
    return [replace(answer, request_id=each.id) for each, answer in zip(requests, answers, strict=True)]


@in_answer("test_probabilities_multiply_along_a_text", Rank)
def averages_over_tokens(request: Rank, answer: Ranking) -> Answer:
    return replace(answer, logprobs=tuple(p / n for p, n in zip(answer.logprobs, answer.tokens, strict=True)))


@in_answer("test_greedy_is_what_is_likeliest", Rank)
def calls_all_greedy(request: Rank, answer: Ranking) -> Answer:
    return replace(answer, greedy=tuple(True for _ in answer.greedy))


@in_answer("test_greedy_is_what_is_likeliest", Rank)
def calls_nothing_greedy(request: Rank, answer: Ranking) -> Answer:
    return replace(answer, greedy=tuple(False for _ in answer.greedy))


@in_answer("test_a_text_is_scored_whole", Score)
def scores_a_half(request: Score, answer: Scoring) -> Answer:
    return replace(answer, logprob=answer.logprob / 2)


@in_answer("test_a_text_of_no_tokens_is_0_nats", Score)
def scores_nothing(request: Score, answer: Scoring) -> Answer:
    return answer if answer.tokens else replace(answer, logprob=-1.0)


@in_answer("test_a_text_longer_than_the_window_is_scored_in_pieces", Score)
def cuts_a_text_to_the_window(request: Score, answer: Scoring) -> Answer:
    return replace(answer, tokens=min(answer.tokens, WINDOW))


@in_answer("test_tokens_are_those_of_the_tokenizer", Score)
def counts_an_end(request: Score, answer: Scoring) -> Answer:
    return replace(answer, tokens=answer.tokens + 1)


@in_answer("test_tokens_are_those_of_the_tokenizer", Rank)
def counts_the_context(request: Rank, answer: Ranking) -> Answer:
    return replace(answer, tokens=tuple(n + 3 for n in answer.tokens))


@in_answer("test_a_profile_has_an_entry_for_every_token", Profile)
def forgets_the_first_token(request: Profile, answer: Profiling) -> Answer:
    return replace(answer, argmax=answer.argmax[1:])


@in_answer("test_a_profile_has_an_entry_for_every_token", Profile)
def names_the_least_first(request: Profile, answer: Profiling) -> Answer:
    turned = tuple(few[::-1] for few in answer.top)
    return replace(answer, top=turned, ids=tuple(few[::-1] for few in answer.ids))


@in_answer("test_a_profile_gives_the_tokens_asked_for", Profile)
def repeats_what_was_asked(request: Profile, answer: Profiling) -> Answer:
    return replace(answer, ids=request.at or answer.ids)


# ---- texts that are written


@in_answer("test_a_text_has_at_most_so_many_tokens", Generate)
def counts_the_prompt(request: Generate, answer: Generation) -> Answer:
    return replace(answer, tokens=answer.tokens + len(tokens_of(request.prompt)))


@in_answer("test_a_text_has_at_most_so_many_tokens", Generate)
def calls_every_end_the_length(request: Generate, answer: Generation) -> Answer:
    return replace(answer, finish_reason="length", tokens=min(answer.tokens, request.max_tokens - 1))


@in_answer("test_a_shorter_text_is_the_beginning_of_a_longer_one", Generate)
def hurries(request: Generate, answer: Generation) -> Answer:
    return replace(answer, text=answer.text.upper()) if request.max_tokens < 5 else answer


@in_engine("test_the_beginning_of_a_long_prompt_is_read")
class ReadsTheEndOfAPrompt(ToyEngine):
    def logprobs(self, before: Sequence[str]) -> list[float]:
        return super().logprobs(before[-8:])

    def logprob(self, before: Sequence[str], token: str) -> float:
        return super().logprob(before[-8:], token)


@in_engine("test_greedy_is_what_is_likeliest")
class CallsNoLongTextGreedy(ToyEngine):
    def greedy(self, before: Sequence[str], tokens: Sequence[str]) -> bool:
        return len(tokens) < 3 and super().greedy(before, tokens)


@in_engine("test_a_text_ends_before_a_stop_string")
class KeepsTheStopString(ToyEngine):
    def generate(self, request: Generate) -> Generation:
        answer = super().generate(request)
        return replace(answer, text=answer.text + request.stop[0]) if answer.finish_reason == "stop" else answer


@in_engine("test_a_text_ends_before_a_stop_string")
class KnowsOneStopString(ToyEngine):
    def generate(self, request: Generate) -> Generation:
        return replace(super().generate(replace(request, stop=request.stop[:1])), request_id=request.id)


@in_answer("test_a_text_ends_before_a_stop_string", Generate)
def calls_every_end_an_end_token(request: Generate, answer: Generation) -> Answer:
    return replace(answer, finish_reason="eos")


@in_engine("test_white_space_before_the_first_word_ends_nothing")
class StopsAtOnce(ToyEngine):
    def generate(self, request: Generate) -> Generation:
        return replace(super().generate(replace(request, stop_at_once=True)), request_id=request.id)


@in_engine("test_white_space_before_the_first_word_ends_nothing")
class NeverStopsAtOnce(ToyEngine):
    def generate(self, request: Generate) -> Generation:
        return replace(super().generate(replace(request, stop_at_once=False)), request_id=request.id)


# ---- factories, and what may be there


@in_factory("test_an_engine_is_as_it_was_described")
class DescribesByTheClock(ToyFactory):
    def describe(self, checkpoint: Checkpoint, settings: EngineSettings) -> EngineInfo:
        return replace(super().describe(checkpoint, settings), details={"turn": next(turns)})


@in_factory("test_nothing_is_loaded_to_describe_it")
class DescribesByTheWeights(ToyFactory):
    def describe(self, checkpoint: Checkpoint, settings: EngineSettings) -> EngineInfo:
        (checkpoint.path / "model.safetensors").read_text()
        return super().describe(checkpoint, settings)


@in_factory("test_an_unknown_option_is_refused")
class TakesAnyOption(ToyFactory):
    def describe(self, checkpoint: Checkpoint, settings: EngineSettings) -> EngineInfo:
        return EngineInfo(name="toy", details={})


@in_factory("test_tokenizers")
class CountsNothing(ToyFactory):
    def token_counter(self, checkpoint: Checkpoint) -> Any:
        return lambda text: 0


@in_factory("test_tokenizers")
class SplitsOtherwise(ToyFactory):
    def token_counter(self, checkpoint: Checkpoint) -> Any:
        class Counter(ToyCounter):
            def token_ids(self, text: str) -> tuple[int, ...]:
                return ()

        return Counter()


@in_engine("test_drafts_change_no_answer")
class WritesTheDraft(ToyEngine):
    def answer_with_drafts(self, requests: Sequence[Request], drafts: Mapping[str, str]) -> Iterator[Answer]:
        for request in requests:
            answer = self.reply(request)
            drafted = isinstance(answer, Generation) and request.id in drafts
            yield replace(answer, text=drafts[request.id]) if drafted else answer


@in_engine("test_an_adapter_is_seen_in_logits_by_both_paths")
class AnswersWithoutTheAdapter(ToyEngine):
    def next_token_logits(self, prompts: Sequence[str], *, adapter: bool, path: Any) -> Any:
        return super().next_token_logits(prompts, adapter=False, path=path)


@in_engine("test_an_adapter_is_seen_in_logits_by_both_paths")
class DecodesOtherwise(ToyEngine):
    def next_token_logits(self, prompts: Sequence[str], *, adapter: bool, path: Any) -> Any:
        return super().next_token_logits(prompts, adapter=adapter, path=path) + np.float64(path == "decode")


@in_engine("test_why_it_answers_plainly_is_a_text")
class GivesNoReason(ToyEngine):
    plain_because = None  # type: ignore[assignment]


@in_factory("test_generation_configs_differ_in_pairs")
class SaysWhatDiffersOnly(ToyFactory):
    def generation_differences(self, checkpoint: Checkpoint) -> Any:
        return {"temperature": (0.7,)}


@in_factory("test_weights_are_handed_on")
class HandsOtherWeightsOn(ToyFactory):
    def open_after(self, previous: Engine, checkpoint: Checkpoint, settings: EngineSettings) -> ToyEngine:
        return ToyEngine(self.describe(checkpoint, settings), "other weights", checkpoint.adapter)


# ---- the end


@in_engine("test_its_numbers_are_those_of_the_reference")
class RoundsHalf(ToyEngine):
    def logprobs(self, before: Sequence[str]) -> list[float]:
        return [math.log(math.exp(logprob) * 0.99) for logprob in super().logprobs(before)]


@in_engine("test_it_is_closed_more_than_once_and_opened_again")
class ClosesOnce(ToyEngine):
    def close(self) -> None:
        assert self.is_open
        super().close()


@in_factory("test_it_is_closed_more_than_once_and_opened_again")
class OpensOnce(ToyFactory):
    opened = 0

    def open(self, checkpoint: Checkpoint, settings: EngineSettings) -> ToyEngine:
        type(self).opened += 1
        engine = super().open(checkpoint, settings)
        engine.weights = str(self.opened)
        return engine


@in_engine("test_closing_frees_the_memory")
class KeepsItsMemory(ToyEngine):
    def close(self) -> None:
        self.is_open = False
