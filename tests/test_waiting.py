"""Waiting for an answer: what is answered or raised in time, and silence."""

from __future__ import annotations

import threading

import pytest

from evalharness.waiting import call_within


def test_an_answer_and_an_error_in_time_are_passed_on() -> None:
    assert call_within(60, lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        call_within(60, lambda: 1 / 0)


def raise_timeout() -> None:
    raise TimeoutError("its own")


def test_a_time_out_of_the_question_itself_keeps_its_words() -> None:
    with pytest.raises(TimeoutError, match="its own"):
        call_within(60, raise_timeout)


def test_silence_is_a_time_out() -> None:
    never = threading.Event()
    with pytest.raises(TimeoutError, match="no answer within 0 s"):
        call_within(0.01, never.wait)
    never.set()
