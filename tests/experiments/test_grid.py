"""Options to the points of a sweep's grid."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evalharness.errors import UsageError
from evalharness.experiments.grid import EVERY, Grid


def test_a_grid_has_every_point_once_and_options_go_to_methods_that_have_them() -> None:
    grid = Grid(
        ("full", "lora", "prompt"),
        {"lora": (1e-2, 1e-3)},
        (2, 4),
        (1, 2),
        {"steps": 3, "virtual_tokens": 5, "dropout": 0.1},
    )
    points = grid.points("base", "target", Path("out"))
    assert len(points) == len({point.name for point in points}) == 2 + 2 * 2 * 2 + 2
    assert [point.recipe.rate for point in points if point.series == "lora-r2"] == [1e-3, 1e-3, 1e-2, 1e-2]
    assert {point.recipe.option("dropout") for point in points if point.recipe.method == "lora"} == {0.1}
    assert {point.rank for point in points} == {None, 2, 4}
    assert {point.recipe.option("virtual_tokens") for point in points if point.recipe.method == "prompt"} == {5}


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        (lambda: Grid(("lorra",)), "did you mean lora"),
        (lambda: Grid(("full",), ranks=(1, 2)), "has a rank"),
        (lambda: Grid(("full",), {"lora": (1e-3,)}), "not swept"),
        (lambda: Grid(("full",), {EVERY: (1e-3, 1e-3)}), "--lr: names a value twice"),
        (lambda: Grid(("full",), seeds=()), "--seed: names none"),
        (lambda: Grid(("lora",), {EVERY: (-1.0,)}).points("b", "t", Path("o")), "--lr"),
    ],
)
def test_grids_that_make_no_sense(grid: Callable[[], Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        grid()
