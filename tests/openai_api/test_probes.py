"""A server whose weights are exchanged during a run is noticed; one that only fails for a while is not accused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from json import dumps, loads

import pytest
from invented_models import Invented, InventedServer, inventing

from evalharness.errors import NotComparableError
from evalharness.openai_api.client import ApiClient
from evalharness.openai_api.probes import PROMPTS, ProbeAnswer, ProbeAnswers, same
from evalharness.openai_api.served_model import Prober, ProbeWatch


@contextmanager
def watching(models: dict[str, Invented], **options: object) -> Iterator[tuple[InventedServer, ApiClient, ProbeWatch]]:
    with inventing(models, **options) as server, ApiClient(server.url) as api:
        yield server, api, ProbeWatch(api, "m", Prober(api, "m").all_twice())


def test_the_prompts_are_64_and_differ() -> None:
    assert len({*PROMPTS}) == len(PROMPTS) == 64


@pytest.mark.parametrize("other", [Invented(moved=1e-3), Invented(weights="other")])
@pytest.mark.parametrize("logprobs", [True, False])
def test_other_weights_behind_the_same_name_are_noticed_after_a_block(other: Invented, logprobs: bool) -> None:
    with watching({"m": Invented()}, logprobs=logprobs) as (server, _, watch):
        watch.after_block()
        server.models["m"] = other
        if not logprobs and other.moved:
            return  # nothing shows it
        with pytest.raises(NotComparableError, match=r"other weights than before.*no answer since the last check"):
            watch.after_block()


def test_four_other_probes_after_every_block_and_all_at_the_end() -> None:
    with watching({"m": Invented(noise=1e-5)}) as (server, _, watch):
        server.seen.clear()
        for _ in range(16):
            watch.after_block()
        prompts = [seen.body["prompt"] for seen in server.seen]
        assert len(prompts) == 65 and {*prompts} == {*PROMPTS}  # one more finds out how the server is asked
        server.seen.clear()
        watch.check_all()
        assert sorted(seen.body["prompt"] for seen in server.seen) == sorted(PROMPTS)


def test_after_a_connection_failed_all_probes_are_asked_once() -> None:
    with watching({"m": Invented()}) as (server, api, watch):
        watch.after_block()
        counts = []
        for interrupted in (1, 0):
            api.interrupted += interrupted
            server.seen.clear()
            watch.after_block()
            counts.append(len(server.seen))
        assert counts == [64, 4]


def answers(*texts: str, logprob: float = -1.0, **more: object) -> ProbeAnswers:
    each = [
        ProbeAnswer(text=text, tokens=tuple(text.split()), logprobs=tuple(logprob for _ in text.split()))
        for text in texts
    ]
    return ProbeAnswers(answers=tuple(each), with_logprobs=True, **more)


def test_a_text_may_part_where_two_tokens_are_near() -> None:
    one, other = answers("a b c", "d e"), answers("a x y z", "d e")
    assert same(one, other)
    assert not same(one, answers("a x y z", "d e", logprob=-1.001))
    many = ["a b c"] * 9
    assert not same(answers(*many), answers(*["a x c"] * 9))
    assert same(answers(*many), answers(*["a x c"] * 9, unsteady=(0, 1, 2, 3, 4)))


def test_the_tolerance_is_twice_the_noise() -> None:
    one = answers("a b")
    assert same(one, answers("a b", logprob=-1.00009)) and not same(one, answers("a b", logprob=-1.00011))
    assert same(replace(one, noise=0.01), answers("a b", logprob=-1.0199))
    assert not same(replace(one, noise=0.01), answers("a b", logprob=-1.0201))


def test_what_is_kept_is_read_again_or_nothing() -> None:
    one = answers("a b", "c", noise=0.5, unsteady=(1,))
    assert ProbeAnswers.from_json(loads(dumps(asdict(one)))) == one
    for wrong in (None, {}, {"answers": [{"text": "a"}]}, {**asdict(one), "more": 1}):
        assert ProbeAnswers.from_json(wrong) is None
