"""Whether an adapter answers, told from answers alone."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from evalharness.engines.adapter_check import Proof
from evalharness.engines.answer_check import REQUESTS, Answers, proof_by_answers
from evalharness.errors import ModelError
from evalharness.records.requests import Failure, Generate, Generation, Rank, Ranking, Response


def answers(text: str = "yes", logprob: float = -1.0, rank: bool = True, without: Iterable[str] = ()) -> Answers:
    def answer(request: Generate | Rank) -> Response | Failure:
        if request.id in without or (isinstance(request, Rank) and not rank):
            return Failure(request_id=request.id, reason="cannot")
        if isinstance(request, Generate):
            return Generation(request_id=request.id, text=text, finish_reason="length", tokens=1)
        n = len(request.pairs)
        return Ranking(request_id=request.id, logprobs=(logprob,) * n, tokens=(1,) * n, greedy=(False,) * n)

    return {request.id: answer(request) for request in REQUESTS}


def proof(base: Answers, own: Answers, again: Answers | None = None, allow_noop: bool = False) -> Proof:
    return proof_by_answers("tuned", base, own, own if again is None else again, allow_noop)


def test_64_requests_of_both_kinds() -> None:
    assert len({request.id for request in REQUESTS}) == 64
    assert sum(isinstance(request, Rank) for request in REQUESTS) == 32


def test_a_log_probability_that_moves_is_proof() -> None:
    made = proof(answers(), answers(logprob=-1.001))
    assert made.available and not made.still and made.scoring == pytest.approx(0.001)


def test_a_text_that_changes_is_proof() -> None:
    assert proof(answers(), answers("no")).available and not proof(answers(), answers("no")).still
    assert proof(answers(rank=False), answers("no", rank=False)).available


def test_the_same_answers_are_refused_unless_allowed() -> None:
    with pytest.raises(ModelError, match=r"^tuned: answers 64 short requests as its base does.*--allow-noop"):
        proof(answers(), answers(logprob=-1.00005))
    assert proof(answers(), answers(), allow_noop=True).still


def test_what_moves_less_than_the_engines_noise_is_no_proof() -> None:
    noisy, again = answers(logprob=-1.01), answers(logprob=-1.02)
    with pytest.raises(ModelError):
        proof(answers(), noisy, again)
    with pytest.raises(ModelError):
        proof(answers(), answers("no"), answers("maybe"))


def test_where_only_texts_can_be_compared_the_same_ones_prove_nothing() -> None:
    assert not proof(answers(rank=False), answers(rank=False)).available
    assert not proof(answers(without=[each.id for each in REQUESTS]), answers()).available
