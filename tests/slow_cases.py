"""Which of many like cases `make test` tries; the others are slow."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any

import pytest


def first_of_each(cases: Iterable[Any], kind: Callable[..., Hashable]) -> list[Any]:
    """The cases as pytest takes them: all but the first of each kind are slow."""
    kinds: set[Hashable] = set()
    marked = []
    for case in cases:
        values = case if isinstance(case, tuple) else (case,)
        marked.append(pytest.param(*values, marks=pytest.mark.slow if kind(*values) in kinds else ()))
        kinds.add(kind(*values))
    return marked


def quick_ones(names: Iterable[str], quick: Iterable[str]) -> list[Any]:
    """The names as pytest takes them: all but the quick ones are slow."""
    return [pytest.param(name, marks=() if name in set(quick) else pytest.mark.slow) for name in names]
