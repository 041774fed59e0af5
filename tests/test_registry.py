"""A name to the piece behind it, or an error that lists what is known."""

from __future__ import annotations

import sys

import pytest

from evalharness import engines, registry
from evalharness.errors import MissingPackageError, UsageError

REGISTRY = {"join": "os.path:join", "joined": "os.path:joined"}


def test_a_known_name_is_imported() -> None:
    assert registry.find(REGISTRY, "join", "piece")("a", "b") == "a/b"


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"unknown piece 'jion'; did you mean join") as caught:
        registry.find(REGISTRY, "jion", "piece")
    assert caught.value.exit_code == 2


def test_nothing_near_lists_what_there_is() -> None:
    with pytest.raises(UsageError, match="known: hf"):
        registry.find(engines.REGISTRY, "zzzz", "engine")


def test_a_piece_whose_packages_an_extra_brings_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    said = r"^engine hf: needs the packages of the extra \[hf\] \(torch is not installed\); pip install 'evalharness\[hf\]'"
    with pytest.raises(MissingPackageError, match=said):
        registry.find({"hf": "torch:nn"}, "hf", "engine")


def test_another_missing_module_is_a_crash() -> None:
    with pytest.raises(ModuleNotFoundError):
        registry.find({"x": "no_such_module:x"}, "x", "piece")
