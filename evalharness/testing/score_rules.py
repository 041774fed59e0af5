"""Test an engine's log-probabilities: rankings, scores of whole texts, and profiles."""

from __future__ import annotations

import itertools
import math

import pytest

from evalharness.engines.base import Engine, EngineFactory, ModelTokenizers
from evalharness.records.models import Architecture, Checkpoint
from evalharness.records.requests import Generate, Profile, Profiling, Rank, Score
from evalharness.testing.contract_fixtures import ContractFixtures, responses
from evalharness.testing.sample_requests import (
    BEGINNINGS,
    CHOICES,
    PROMPTS,
    generations,
    of_words,
    profiles,
    rankings,
    texts,
)

ENDS = (" mat", " a small boat", " and then it rained")


class ScoreRules(ContractFixtures):
    """Tests of answers to Rank, Score and Profile."""

    def test_a_ranking_has_an_entry_for_every_pair(self, engine: Engine) -> None:
        self.need(Rank)
        for request, answer in zip(rankings(), responses(engine, rankings()), strict=True):
            assert isinstance(request, Rank)
            lengths = {len(answer.logprobs), len(answer.tokens), len(answer.greedy)}
            assert lengths == {len(request.pairs)}, f"{len(request.pairs)} pairs: {answer}"
            assert all(tokens >= 1 for tokens in answer.tokens), f"a continuation of no tokens: {answer}"

    def test_pairs_of_a_request_may_have_contexts_of_their_own(self, engine: Engine) -> None:
        self.need(Rank)
        if not self.language_model:
            pytest.skip("not a language model")
        pairs = tuple((prompt, end) for prompt in PROMPTS[:3] for end in ENDS[:2])
        alone = responses(engine, [Rank(pairs=(pair,)) for pair in pairs])
        (together,) = responses(engine, [Rank(pairs=pairs)])
        for index, answer in enumerate(alone):
            apart = abs(answer.logprobs[0] - together.logprobs[index])
            assert apart <= self.near(engine), f"{pairs[index]}: {answer}, and among other pairs {together}"

    def test_probabilities_multiply_along_a_text(self, engine: Engine, checkpoint: Checkpoint) -> None:
        """Check log P(ab | c) = log P(a | c) + log P(b | ca), if the tokens of ab are those of a and of b."""
        self.need(Rank)
        self._need_model(checkpoint)
        pairs = itertools.permutations(ENDS, 2)
        requests = [Rank(pairs=((c, a + b), (c, a), (c + a, b))) for c in PROMPTS for a, b in pairs]
        for request, answer in zip(requests, responses(engine, requests), strict=True):
            (whole, first, second), tokens = answer.logprobs, answer.tokens
            apart = abs(whole - first - second)
            assert tokens[0] != tokens[1] + tokens[2] or apart <= 3 * self.near(engine), f"{request}: {answer}"

    def test_the_beginning_of_a_long_prompt_is_read(self, engine: Engine, checkpoint: Checkpoint) -> None:
        """Check that prompts that differ only at their beginnings, as few-shot prompts may, differ in what is likely
        after.
        """
        self.need(Rank)
        self._need_model(checkpoint)
        ends = [of_words(count) for count in (12, 24, 36)]
        for end in ends:
            pairs = tuple((f"{begin} {end}", PROMPTS[0]) for begin in BEGINNINGS)
            (answer,) = responses(engine, [Rank(pairs=pairs)])
            assert len(set(answer.logprobs)) > 1, f"{len(end)} characters on, nothing of {BEGINNINGS} is left"

    def test_greedy_is_what_is_likeliest(self, engine: Engine, checkpoint: Checkpoint) -> None:
        """Check that nothing is likelier than a greedy token, and that the engine's own text is greedy."""
        self.need(Rank)
        self._need_model(checkpoint)
        choices = [choice for several in CHOICES for choice in several]
        ranked = responses(engine, [Rank(pairs=tuple((prompt, choice) for choice in choices)) for prompt in PROMPTS])
        for answer in ranked:
            best = max(answer.logprobs)
            for logprob, tokens, greedy in zip(answer.logprobs, answer.tokens, answer.greedy, strict=True):
                wrong = greedy and tokens == 1 and logprob < best - self.near(engine)
                assert not wrong, f"greedy, and another is likelier: {answer}"
        if Generate in self.answers:
            self._assert_written_is_greedy(engine, 1)
            self._assert_written_is_greedy(engine, 4)

    def _assert_written_is_greedy(self, engine: Engine, new: int) -> None:
        """Assert that written texts are greedy. Only texts that have as many tokens as the engine wrote count, as most
        short texts do.
        """
        answers = zip(PROMPTS, responses(engine, generations(new=new)), strict=True)
        visible = [(prompt, answer) for prompt, answer in answers if answer.text.strip() and answer.tokens == new]
        if not visible:
            return
        ranked = responses(engine, [Rank(pairs=((prompt, answer.text),)) for prompt, answer in visible])
        whole = [answer.greedy[0] for answer in ranked if answer.tokens == (new,)]
        assert 2 * sum(whole) >= len(whole), f"of {len(whole)} texts of {new} tokens it writes {sum(whole)} are greedy"

    def test_a_text_is_scored_whole(self, engine: Engine, checkpoint: Checkpoint) -> None:
        """Check that a text's score is that of a continuation of nothing, if both count the same tokens."""
        self.need(Score)
        answers = responses(engine, texts())
        assert all(answer.tokens > 0 and answer.logprob < 0 for answer in answers), answers
        if Rank in self.answers and self.language_model and checkpoint.architecture is Architecture.CAUSAL:
            ranked = responses(engine, [Rank(pairs=(("", each.text),)) for each in texts() if isinstance(each, Score)])
            for scored, one in zip(answers, ranked, strict=True):
                apart = abs(scored.logprob - one.logprobs[0])
                assert one.tokens != (scored.tokens,) or apart <= self.near(engine), f"{scored} whole, {one} ranked"

    def test_a_text_of_no_tokens_is_0_nats(self, engine: Engine) -> None:
        self.need(Score)
        (answer,) = responses(engine, [Score(text="")])
        assert answer.tokens or answer.logprob == 0, answer

    def test_tokens_are_those_of_the_tokenizer(
        self, engine: Engine, factory: EngineFactory, checkpoint: Checkpoint
    ) -> None:
        """Check that the factory counts the tokens that the engine scores; a ranking's are those that a continuation
        adds.
        """
        if not isinstance(factory, ModelTokenizers):
            pytest.skip("the factory has no tokenizers")
        if (count := factory.token_counter(checkpoint)) is None:
            pytest.skip("the factory counts no tokens of this model")
        if Score in self.answers:
            for request, answer in zip(texts(), responses(engine, texts()), strict=True):
                assert isinstance(request, Score)
                assert answer.tokens == count(request.text), f"{count(request.text)} tokens: {answer}"
        if Rank in self.answers and checkpoint.architecture is Architecture.CAUSAL:
            pairs = tuple((prompt, end) for prompt in PROMPTS for end in ENDS)
            (answer,) = responses(engine, [Rank(pairs=pairs)])
            added = tuple(count(context + end) - count(context) for context, end in pairs)
            assert answer.tokens == added, f"{added} tokens by the tokenizer: {answer.tokens}"

    def test_a_profile_has_an_entry_for_every_token(self, engine: Engine) -> None:
        self.need(Profile)
        for request, answer in zip(profiles(), responses(engine, profiles()), strict=True):
            assert isinstance(request, Profile)
            parts = (answer.logprobs, answer.argmax, answer.ids, answer.top, answer.rest)
            assert {len(part) for part in parts} == {len(answer.tokens)}, f"{len(answer.tokens)} tokens: {answer}"
            assert all(len(ids) == len(top) <= request.top_k for ids, top in zip(answer.ids, answer.top, strict=True))
            _assert_distribution(answer)

    def test_a_profile_gives_the_tokens_asked_for(self, engine: Engine) -> None:
        self.need(Profile)
        first = responses(engine, profiles())
        requests = [
            Profile(text=request.text, top_k=0, context=request.context, at=answer.ids)
            for request, answer in zip(profiles(), first, strict=True)
            if isinstance(request, Profile)
        ]
        for answer, again in zip(first, responses(engine, requests), strict=True):
            assert again.ids == (), again
            pairs = zip(itertools.chain(*answer.top), itertools.chain(*again.top), strict=True)
            assert all(abs(here - there) <= self.near(engine) for here, there in pairs), f"{answer} and {again}"

    def _need_model(self, checkpoint: Checkpoint) -> None:
        if not (self.language_model and checkpoint.architecture is Architecture.CAUSAL):
            pytest.skip("not a decoder-only language model")


def _assert_distribution(answer: Profiling) -> None:
    """Assert that the likeliest tokens come first, and that all probabilities sum to 1."""
    for place, (best, ids, top, rest) in enumerate(
        zip(answer.argmax, answer.ids, answer.top, answer.rest, strict=True)
    ):
        whole = sum(map(math.exp, top)) + (0.0 if rest is None else math.exp(rest))
        ordered = ids[0] == best and list(top) == sorted(top, reverse=True)
        assert ordered and abs(whole - 1) < 1e-4, f"place {place}: likeliest {best}, {ids}, {top}, rest {rest}"
