"""Every test of the contract passes on an engine that keeps what it promises, and fails on one that breaks it."""

from __future__ import annotations

from collections import defaultdict

import faulty_engines
import pytest

import evalharness.testing.engine_contract as contract  # once: a pytest inside pytest forgets what was first imported

CLASSES = """
from pathlib import Path

import pytest
from faulty_engines import FAULTS
from toy_engine import ToyEngine, ToyFactory, toy_checkpoint

from evalharness.records.models import EngineSettings
from evalharness.records.requests import Generate, Profile, Rank, Score
from evalharness.testing.engine_contract import EngineCase, EngineContract

class Toy(EngineContract):
    answers = (Rank, Generate, Score, Profile)
    made = ToyFactory()

    @pytest.fixture
    def factory(self):
        return self.made

    @pytest.fixture
    def checkpoint(self, tmp_path):
        return toy_checkpoint(tmp_path / "model")

    @pytest.fixture
    def reference(self, checkpoint):
        return EngineCase(factory=ToyFactory(), checkpoint=checkpoint, settings=EngineSettings())

    @pytest.fixture
    def memory_in_use(self):
        return lambda: self.made.kind.loaded

class TestRight(Toy):
    pass

for name, (test, factory) in FAULTS.items():
    answers = (Generate,) if test == "test_other_types_of_requests_are_failures" else Toy.answers
    others = {each: None for each in dir(EngineContract) if each.startswith("test_") and each != test}
    globals()[f"Test_{name}"] = type(f"Test_{name}", (Toy,), {"made": factory, "answers": answers, **others})
"""


def outcomes(pytester: pytest.Pytester) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """The tests of every class that passed, and those that failed; of a fault's class only the one that must."""
    pytester.makepyfile(CLASSES)
    passed, failed = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)
    recorded = pytester.inline_run("-p", "no:cacheprovider", "-W", "error")
    for into, reports in zip((passed, {}, failed), recorded.listoutcomes(), strict=True):
        for report in reports:
            _, owner, test = report.nodeid.split("::")
            into.setdefault(owner, set()).add(test)
    return passed, failed


def test_each_test_fails_for_an_engine_that_breaks_what_it_tests(pytester: pytest.Pytester) -> None:
    passed, failed = outcomes(pytester)
    every = {name for name in dir(contract.EngineContract) if name.startswith("test_")}
    assert failed["TestRight"] == set()
    assert every - passed["TestRight"] == {"test_other_types_of_requests_are_failures"}  # it answers all types
    unnoticed = {name for name, (test, _) in faulty_engines.FAULTS.items() if test not in failed[f"Test_{name}"]}
    assert unnoticed == set()
    assert every == {test for test, _ in faulty_engines.FAULTS.values()}
