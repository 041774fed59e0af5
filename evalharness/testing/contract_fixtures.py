"""Define the fixtures that the tests of an engine share, and compare its answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from evalharness.engines.agreement import distance, same_text
from evalharness.engines.base import Engine, EngineFactory, factory_of
from evalharness.records.models import Checkpoint, EngineSettings
from evalharness.records.requests import Failure, Generate, Rank, Request, Response, Score

Answer = Response | Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCase:
    """An engine to test against, given by its factory, the model that it opens, and its settings."""

    factory: EngineFactory
    checkpoint: Checkpoint
    settings: EngineSettings


class ContractFixtures:
    """The class attributes and fixtures that describe the engine under test; a subclass overrides them.

    The engine is opened once for a class. Comments beside the attributes say what each means.
    """

    # the types of requests that the engine answers; it answers others with Failures
    answers: ClassVar[tuple[type[Request], ...]] = (Rank, Generate, Score)
    # nats by which a log-probability may differ with the order and the other requests of a block, and between the
    # engine and its reference; None: EngineInfo.near_tie
    tolerance: ClassVar[float | None] = None
    repeat_tolerance: ClassVar[float] = 0.0  # nats by which it may differ where the same block is asked twice
    same_texts: ClassVar[float] = 1.0  # the least share of texts that must be the same in these cases
    language_model: ClassVar[bool] = True  # whether its log-probabilities follow the rules of probability
    _engine: ClassVar[Engine | None] = None

    @pytest.fixture
    def settings(self) -> EngineSettings:
        """Return the settings to open the engine, with its name."""
        return EngineSettings()

    @pytest.fixture
    def checkpoint(self) -> Checkpoint:
        """Return the model that the engine opens."""
        raise NotImplementedError("override the fixture `checkpoint`: evalharness.checkpoints.recognise gives one")

    @pytest.fixture
    def factory(self, settings: EngineSettings) -> EngineFactory:
        """Return the engine's factory, by default that of the entry point that the settings name."""
        return factory_of(settings)

    @pytest.fixture
    def reference(self) -> EngineCase | None:
        """Return another engine with the same model, whose numbers must agree within the tolerance; None for no
        comparison.
        """
        return None

    @pytest.fixture
    def memory_in_use(self) -> Callable[[], int] | None:
        """Return a function that counts the bytes of opened models; None: whether closing frees them is not tested."""
        return None

    @pytest.fixture
    def engine(self, factory: EngineFactory, checkpoint: Checkpoint, settings: EngineSettings) -> Engine:
        """Return the opened engine, the same for all tests of the class."""
        own = type(self)
        if own._engine is None:
            own._engine = factory.open(checkpoint, settings)
        return own._engine

    @classmethod
    def teardown_class(cls) -> None:
        cls.close_engine()

    @classmethod
    def close_engine(cls) -> None:
        """Close the open engine; the next test opens another."""
        engine, cls._engine = cls._engine, None
        if engine is not None:
            engine.close()

    # ---- comparing

    def near(self, engine: Engine) -> float:
        """Return the nats within which two log-probabilities count as equal."""
        return engine.info.near_tie if self.tolerance is None else self.tolerance

    def need(self, *types: type[Request]) -> None:
        """Skip a test of requests that the engine does not answer."""
        for kind in types:
            if kind not in self.answers:
                pytest.skip(f"the engine does not answer {kind.__name__}")

    def assert_near(self, one: Sequence[Answer], other: Sequence[Answer], tolerance: float, what: str) -> None:
        """Assert that answers to the same requests agree: numbers within the tolerance, equal tokens, and enough equal
        texts.
        """
        texts = [index for index, answer in enumerate(one) if getattr(answer, "text", None) is not None]
        for index, (here, there) in enumerate(zip(one, other, strict=True)):
            apart = distance(here, there)
            assert apart <= tolerance, f"{what}: answer {index} is {apart:.3g} nats away: {here} and {there}"
        same = [index for index in texts if same_text(one[index], other[index])]
        changed = [(one[index], other[index]) for index in texts if index not in same][:3]
        assert self.enough(len(same), len(texts)), f"{what}: {len(same)} of {len(texts)} texts are alike: {changed}"

    def enough(self, same: int, of: int) -> bool:
        """Return whether enough of the texts are equal."""
        return same >= self.same_texts * of


def ask(engine: Engine, requests: Sequence[Request]) -> list[Answer]:
    """Ask one block, assert that every request has as many answers as it occurs, and return them in its order."""
    answers = list(engine.answer(requests))
    here, there = (Counter(ids) for ids in ([each.id for each in requests], [each.request_id for each in answers]))
    assert here == there, (
        f"{len(requests)} requests, {len(answers)} answers: {sum((here - there).values())} without one, "
        f"{sum((there - here).values())} too many"
    )
    by_id = {answer.request_id: answer for answer in answers}
    return [by_id[request.id] for request in requests]


def responses(engine: Engine, requests: Sequence[Request]) -> list[Any]:
    """Ask one block as `ask` does, and assert that no answer is a Failure."""
    answers = ask(engine, requests)
    failed = [
        (request, answer.reason)
        for request, answer in zip(requests, answers, strict=True)
        if isinstance(answer, Failure)
    ]
    assert not failed, f"{len(failed)} of {len(requests)} requests failed, the first: {failed[0]}"
    return answers
