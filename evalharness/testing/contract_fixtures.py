"""Hold the one engine that the tests of a contract share, and compare what it answers."""

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
    """An engine and the model that it is to open."""

    factory: EngineFactory
    checkpoint: Checkpoint
    settings: EngineSettings


class ContractFixtures:
    """What a contract is held against, as class attributes and as fixtures that a subclass overrides; the engine is
    opened once for a class.
    """

    # the types of requests that the engine answers; to others it gives Failures
    answers: ClassVar[tuple[type[Request], ...]] = (Rank, Generate, Score)
    # nats by which a log-probability may move with the order of a block and with what shares it, and between the engine
    # and its reference; None: EngineInfo.near_tie
    tolerance: ClassVar[float | None] = None
    repeat_tolerance: ClassVar[float] = 0.0  # nats by which it may move where the same block is asked twice
    same_texts: ClassVar[float] = 1.0  # the least share of texts that must then be the same
    language_model: ClassVar[bool] = True  # whether the rules of probability apply to its log-probabilities
    _engine: ClassVar[Engine | None] = None

    @pytest.fixture
    def settings(self) -> EngineSettings:
        """How the engine is opened, its name among it."""
        return EngineSettings()

    @pytest.fixture
    def checkpoint(self) -> Checkpoint:
        """The model that it opens."""
        raise NotImplementedError("override the fixture `checkpoint`: evalharness.checkpoints.recognise gives one")

    @pytest.fixture
    def factory(self, settings: EngineSettings) -> EngineFactory:
        """The factory, by default the one of the entry point that the settings name."""
        return factory_of(settings)

    @pytest.fixture
    def reference(self) -> EngineCase | None:
        """Another engine with the same model, whose numbers must be the same within the tolerance; None: none."""
        return None

    @pytest.fixture
    def memory_in_use(self) -> Callable[[], int] | None:
        """Counts the bytes that opened models hold; None: not known, and it is not tested that closing frees them."""
        return None

    @pytest.fixture
    def engine(self, factory: EngineFactory, checkpoint: Checkpoint, settings: EngineSettings) -> Engine:
        """The opened engine, the same for all tests of the class."""
        own = type(self)
        if own._engine is None:
            own._engine = factory.open(checkpoint, settings)
        return own._engine

    @classmethod
    def teardown_class(cls) -> None:
        cls.close_engine()

    @classmethod
    def close_engine(cls) -> None:
        """Close the engine that is open; the next test opens another."""
        engine, cls._engine = cls._engine, None
        if engine is not None:
            engine.close()

    # ---- comparing

    def near(self, engine: Engine) -> float:
        """Nats within which two log-probabilities count as equal."""
        return engine.info.near_tie if self.tolerance is None else self.tolerance

    def need(self, *types: type[Request]) -> None:
        """Skip a test of requests that the engine does not answer."""
        for kind in types:
            if kind not in self.answers:
                pytest.skip(f"the engine does not answer {kind.__name__}")

    def assert_near(self, one: Sequence[Answer], other: Sequence[Answer], tolerance: float, what: str) -> None:
        """Compare answers to the same requests: numbers within the tolerance, tokens equal, texts alike where so many
        must be.
        """
        written = [index for index, answer in enumerate(one) if getattr(answer, "text", None) is not None]
        for index, (here, there) in enumerate(zip(one, other, strict=True)):
            apart = distance(here, there)
            assert apart <= tolerance, f"{what}: answer {index} is {apart:.3g} nats away: {here} and {there}"
        same = [index for index in written if same_text(one[index], other[index])]
        changed = [(one[index], other[index]) for index in written if index not in same][:3]
        assert self.enough(len(same), len(written)), f"{what}: {len(same)} of {len(written)} texts are alike: {changed}"

    def enough(self, same: int, of: int) -> bool:
        """Whether so many texts are alike as must be."""
        return same >= self.same_texts * of


def ask(engine: Engine, requests: Sequence[Request]) -> list[Answer]:
    """The answers to one block in the order of its requests, each with the id of one of them, as often as it stands
    there.
    """
    given = list(engine.answer(requests))
    here, there = (Counter(ids) for ids in ([each.id for each in requests], [each.request_id for each in given]))
    assert here == there, (
        f"{len(requests)} requests, {len(given)} answers: {sum((here - there).values())} without one, "
        f"{sum((there - here).values())} too many"
    )
    by_id = {answer.request_id: answer for answer in given}
    return [by_id[request.id] for request in requests]


def responses(engine: Engine, requests: Sequence[Request]) -> list[Any]:
    """As `ask`, where every request must be answered by no Failure."""
    answers = ask(engine, requests)
    failed = [
        (request, answer.reason)
        for request, answer in zip(requests, answers, strict=True)
        if isinstance(answer, Failure)
    ]
    assert not failed, f"{len(failed)} of {len(requests)} requests failed, the first: {failed[0]}"
    return answers
