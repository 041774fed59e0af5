"""Test where the texts of an engine end; its texts without stop strings show where those with them must end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from evalharness.engines.base import Engine
from evalharness.records.requests import Generate, Generation
from evalharness.testing.contract_fixtures import ContractFixtures, responses
from evalharness.testing.sample_requests import NEW, PROMPTS, generations

UNFINISHED = "\ufffd"  # a tokenizer's text for the first bytes of a character
FEW = 3
RequestAndText = tuple[Generate, Generation]


class GenerateRules(ContractFixtures):
    """Tests of answers to Generate."""

    def test_a_text_has_at_most_so_many_tokens(self, engine: Engine) -> None:
        self.need(Generate)
        for request, whole in self.free_texts(engine):
            (few,) = responses(engine, [replace(request, max_tokens=FEW)])
            for answer, most in ((whole, NEW), (few, FEW)):
                assert 0 <= answer.tokens <= most, f"at most {most} tokens: {answer}"
                assert answer.finish_reason in ("eos", "length", "stop"), answer
                assert answer.finish_reason != "length" or answer.tokens == most, f"ended by its length: {answer}"

    def test_a_shorter_text_is_the_beginning_of_a_longer_one(self, engine: Engine) -> None:
        self.need(Generate)
        longer = self.free_texts(engine)
        shorter = responses(engine, [replace(request, max_tokens=FEW) for request, _ in longer])
        alike = []
        for (_, whole), few in zip(longer, shorter, strict=True):
            reason = "length" if whole.tokens > FEW else whole.finish_reason
            alike.append(whole.text.startswith(few.text.rstrip(UNFINISHED)) and few.finish_reason == reason)
        texts = list(zip((whole for _, whole in longer), shorter, strict=True))
        assert self.enough(sum(alike), len(alike)), f"{sum(alike)} of {len(alike)} begin alike: {texts}"

    def test_no_token_is_an_empty_text(self, engine: Engine) -> None:
        self.need(Generate)
        answer = next(iter(engine.answer([Generate(prompt=PROMPTS[0], stop=(), max_tokens=0)])))
        if isinstance(answer, Generation):
            assert (answer.text, answer.tokens) == ("", 0), f"at most 0 tokens: {answer}"

    def test_a_text_ends_before_a_stop_string(self, engine: Engine) -> None:
        """Try stop strings within a token, across two, and beside one that comes later or never."""
        self.need(Generate)
        visible = [(each, whole) for each, whole in self.free_texts(engine) if len(_inside(whole.text)) > 1]
        if not visible:
            pytest.skip("it writes too little")
        for width in (1, 2, 4):
            stops = [(_inside(whole.text)[-width:], _inside(whole.text)[:width], "\x00", "") for _, whole in visible]
            requests = [replace(each, stop=stop) for (each, _), stop in zip(visible, stops, strict=True)]
            self._assert_ended(engine, requests, [whole for _, whole in visible])

    def test_white_space_before_the_first_word_ends_nothing(self, engine: Engine) -> None:
        """Check that such white space is dropped if it is a stop string; with `stop_at_once` it ends the text."""
        self.need(Generate)
        spaced = [(each, whole) for each, whole in self.free_texts(engine) if whole.text[:1].isspace()]
        if not spaced:
            pytest.skip("it begins no text with white space")
        for at_once in (False, True):
            requests = [replace(each, stop=(whole.text[0],), stop_at_once=at_once) for each, whole in spaced]
            self._assert_ended(engine, requests, [whole for _, whole in spaced])

    def _assert_ended(self, engine: Engine, requests: Sequence[Generate], wholes: Sequence[Generation]) -> None:
        """Assert that texts end where `Generate.answer_in` cuts those without stop strings."""
        alike = []
        for request, whole, answer in zip(requests, wholes, responses(engine, requests), strict=True):
            text, stopped = request.answer_in(whole.text)
            reason = "stop" if stopped else whole.finish_reason
            alike.append((answer.text, answer.finish_reason) == (text, reason) and answer.tokens <= whole.tokens)
            cut = request.answer_in(answer.text)[0]
            assert cut == answer.text, f"{request.stop}: a stop string is left in {answer}"
            message = f"{request}: {text!r} ({reason}) of {whole}, and it is {answer}"
            assert alike[-1] or self.same_texts < 1, message
        assert self.enough(sum(alike), len(alike)), f"{sum(alike)} of {len(alike)} texts end where they should"

    def free_texts(self, engine: Engine) -> list[RequestAndText]:
        """Return requests without stop strings and their texts; skip the test if all texts are empty."""
        requests = generations()
        every = list(zip(requests, responses(engine, requests), strict=True))
        if not any(answer.text for _, answer in every):
            pytest.skip("it writes nothing to any prompt")
        return every


def _inside(text: str) -> str:
    """Return the first line of the second half of a visible text; "" if a character is unfinished."""
    visible = text.strip()
    rest = visible[len(visible) // 2 :].strip()
    return "" if UNFINISHED in rest else rest.split("\n")[0].strip()
