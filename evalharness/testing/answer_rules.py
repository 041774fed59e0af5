"""Test the answers of an engine to any request: one for each, and the same each time."""

from __future__ import annotations

import math

import pytest

from evalharness.engines.agreement import logprobs_of
from evalharness.engines.base import Engine
from evalharness.records.models import Checkpoint
from evalharness.records.requests import ANSWERED_BY, Failure, Score
from evalharness.testing.contract_fixtures import ContractFixtures, ask, responses
from evalharness.testing.sample_requests import UNICODE, generations, of_every_type, of_words, rankings, unanswerable

HALF_A_WINDOW = 1024  # most tokens of a long prompt
WINDOW_TO_FILL = 32768  # a longer window is not tested with a text that exceeds it, which may take minutes
WINDOW_TO_SCORE = 4096  # the same for a text that is scored


class AnswerRules(ContractFixtures):
    """Tests of `Engine.answer` for requests of every type: one answer for each, and the same each time."""

    def test_every_request_gets_one_answer_of_its_type(self, engine: Engine) -> None:
        requests = of_every_type(self.answers)
        for request, answer in zip(requests, responses(engine, requests), strict=True):
            expected = ANSWERED_BY[type(request)]
            assert isinstance(answer, expected), f"{type(request).__name__} is answered by {type(answer).__name__}"

    def test_numbers_are_finite_log_probabilities(self, engine: Engine) -> None:
        requests = of_every_type(self.answers)
        for request, answer in zip(requests, responses(engine, requests), strict=True):
            for value in logprobs_of(answer):
                assert math.isfinite(value) and value <= 1e-6, f"log-probability {value} to {request}"

    def test_an_empty_block_has_no_answers(self, engine: Engine) -> None:
        assert list(engine.answer([])) == []

    def test_equal_requests_are_answered_each(self, engine: Engine) -> None:
        requests = of_every_type(self.answers)[:4]
        answers = list(engine.answer([*requests, *requests]))
        assert len(answers) == 2 * len(requests), f"{len(answers)} answers to {len(requests)} requests asked twice"
        for request in requests:
            first, second = (answer for answer in answers if answer.request_id == request.id)
            self.assert_near([first], [second], self.near(engine), "an equal request in the same block")

    def test_the_same_block_asked_twice_is_answered_alike(self, engine: Engine) -> None:
        requests = of_every_type(self.answers)
        first, second = ask(engine, requests), ask(engine, requests)
        self.assert_near(first, second, self.repeat_tolerance, "asked twice")

    def test_the_order_of_a_block_moves_nothing(self, engine: Engine) -> None:
        requests = of_every_type(self.answers)
        straight, turned = ask(engine, requests), ask(engine, requests[::-1])[::-1]
        self.assert_near(straight, turned, self.near(engine), "in the other order")

    def test_what_shares_a_block_moves_nothing(self, engine: Engine) -> None:
        requests = of_every_type(self.answers)
        together = ask(engine, requests)
        alone = [answer for request in requests for answer in ask(engine, [request])]
        self.assert_near(together, alone, self.near(engine), "asked alone")

    def test_any_script_and_any_emoji_is_answered(self, engine: Engine) -> None:
        requests = [*rankings(UNICODE), *generations(UNICODE), *(Score(text=text) for text in UNICODE)]
        responses(engine, [request for request in requests if isinstance(request, self.answers)])

    def test_a_request_that_cannot_be_answered_is_a_failure_and_spoils_no_other(self, engine: Engine) -> None:
        good = of_every_type(self.answers)[:6]
        bad = [request for request in unanswerable() if isinstance(request, self.answers)]
        requests = [*good[:3], *bad, *good[3:]]
        answers = {request.id: answer for request, answer in zip(requests, ask(engine, requests), strict=True)}
        for request in bad:
            answer = answers[request.id]
            if isinstance(answer, Failure):
                assert answer.reason.strip(), f"a Failure without a reason, to {request!r}"
            assert all(map(math.isfinite, logprobs_of(answer))), f"no finite number to {request!r}: {answer}"
        self.assert_near(
            ask(engine, good), [answers[each.id] for each in good], self.near(engine), "beside what has no answer"
        )

    def test_other_types_of_requests_are_failures(self, engine: Engine) -> None:
        others = [kind for kind in ANSWERED_BY if kind not in self.answers]
        if not others:
            pytest.skip("the engine answers every type of request")
        requests = of_every_type(tuple(others))
        for request, answer in zip(requests, ask(engine, requests), strict=True):
            assert isinstance(answer, Failure), f"{type(request).__name__}, which it does not answer: {answer}"

    def test_long_prompts_are_answered(self, engine: Engine, checkpoint: Checkpoint) -> None:
        """Test prompts of about a sixteenth to half of the window."""
        prompt = of_words(min((checkpoint.window or 1024) // 16 + 1, HALF_A_WINDOW // 8)) + ". The cat sat on the"
        requests = [*rankings((prompt,)), *generations((prompt,), new=2)]
        responses(engine, [request for request in requests if isinstance(request, self.answers)])

    def test_what_is_longer_than_the_window_raises_nothing(self, engine: Engine, checkpoint: Checkpoint) -> None:
        if checkpoint.window is None or checkpoint.window > WINDOW_TO_FILL:
            pytest.skip(f"the window has {checkpoint.window} tokens")
        long = of_words(checkpoint.window + 8)
        good = of_every_type(self.answers)[:2]
        requests = [*rankings((long,)), *generations((long,), new=2)]
        answers = ask(engine, [*good, *(request for request in requests if isinstance(request, self.answers))])
        assert not any(isinstance(answer, Failure) for answer in answers[:2]), "a request beside it failed"

    def test_a_text_longer_than_the_window_is_scored_in_pieces(self, engine: Engine, checkpoint: Checkpoint) -> None:
        self.need(Score)
        if checkpoint.window is None or checkpoint.window > WINDOW_TO_SCORE:
            pytest.skip(f"the window has {checkpoint.window} tokens")
        words = checkpoint.window + 8
        (answer,) = responses(engine, [Score(text=of_words(words))])
        assert answer.tokens >= words and answer.logprob < 0, f"{words} words: {answer}"
