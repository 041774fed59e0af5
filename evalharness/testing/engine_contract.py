"""Test an engine against the contract of engines/base.py: subclass `EngineContract` in a package's own tests.

The subclass names the settings and the checkpoint to open (docs/extend.md has an example). `answers` names the types
of requests that the engine answers, `reference` an engine whose numbers it must match; these and the tolerances are in
contract_fixtures.py.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from evalharness.engines.base import Engine, EngineFactory
from evalharness.records.models import Checkpoint, EngineSettings
from evalharness.testing.answer_rules import AnswerRules
from evalharness.testing.contract_fixtures import EngineCase, ask
from evalharness.testing.factory_rules import FactoryRules
from evalharness.testing.generate_rules import GenerateRules
from evalharness.testing.sample_requests import UNICODE, generations, of_every_type, of_words, rankings
from evalharness.testing.score_rules import ScoreRules

__all__ = ["EngineCase", "EngineContract"]


class EngineContract(FactoryRules, GenerateRules, ScoreRules, AnswerRules):
    """The tests for every engine. The last ones close it."""

    def test_its_numbers_are_those_of_the_reference(self, engine: Engine, reference: EngineCase | None) -> None:
        """Compare on prompts in every script, and on a longer one. One engine is open at a time."""
        if reference is None:
            pytest.skip("no reference is given")
        prompts = (*UNICODE, f"{of_words(24)}. The cat sat on the")
        every = [*rankings(prompts), *generations(prompts), *of_every_type(self.answers)]
        requests = [request for request in every if isinstance(request, self.answers)]
        own, near = ask(engine, requests), self.near(engine)
        self.close_engine()
        other = reference.factory.open(reference.checkpoint, reference.settings)
        try:
            expected = ask(other, requests)
        finally:
            other.close()
        self.assert_near(own, expected, near, f"{engine.info.name} and its reference {other.info.name}")

    def test_it_is_closed_more_than_once_and_opened_again(
        self, engine: Engine, factory: EngineFactory, checkpoint: Checkpoint, settings: EngineSettings
    ) -> None:
        requests = of_every_type(self.answers)
        before, near = ask(engine, requests), self.near(engine)
        self.close_engine()
        engine.close()
        engine.close()
        own = type(self)
        own._engine = factory.open(checkpoint, settings)
        self.assert_near(before, ask(own._engine, requests), near, "opened again")

    def test_closing_frees_the_memory(
        self, engine: Engine, memory_in_use: Callable[[], int] | None, checkpoint: Checkpoint
    ) -> None:
        if memory_in_use is None or checkpoint.parameters is None:
            pytest.skip("no memory_in_use is given, or the model's size is not known")
        ask(engine, of_every_type(self.answers))
        before = memory_in_use()
        self.close_engine()
        freed = before - memory_in_use()
        assert freed >= checkpoint.parameters, f"{freed} bytes of {checkpoint.parameters} parameters are freed"
