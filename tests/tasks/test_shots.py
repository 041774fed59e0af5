"""Which rows stand before a question: shared, in order, never the question itself, and the same however the work is cut
up.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from evalharness.errors import DataError
from evalharness.records.tasks import Task
from evalharness.tasks.shots import draw

POOL = [{"q": f"row {i}"} for i in range(20)]
OTHER = {"q": "elsewhere"}
Make = Callable[..., Task]


def test_one_draw_serves_the_whole_task(make: Make) -> None:
    shots = draw(make(), POOL, 4, seed=1)
    header = shots.before(OTHER, "0")
    assert len(header) == 4 and all(row in POOL for row in header)
    assert all(shots.before({"q": str(i)}, str(i)) == header for i in range(50))
    assert draw(make(), POOL, 4, seed=1).before(OTHER, "7") == header


def test_the_draw_depends_on_seed_and_task_and_not_on_how_many(make: Make) -> None:
    header = draw(make(), POOL, 4, seed=1).before(OTHER, "0")
    assert draw(make(), POOL, 4, seed=2).before(OTHER, "0") != header
    assert draw(make(task="another"), POOL, 4, seed=1).before(OTHER, "0") != header
    assert draw(make(), POOL, 2, seed=1).before(OTHER, "0") == header[:2]


def test_a_row_is_never_its_own_shot_and_only_its_header_changes(make: Make) -> None:
    shots = draw(make(), POOL, 4, seed=1)
    header = shots.before(OTHER, "0")
    own = shots.before(header[1], "0")
    assert header[1] not in own and len(own) == 4
    assert own[:3] == [header[0], *header[2:]]


def test_copies_of_the_row_are_left_out_too(make: Make) -> None:
    pool = [{"q": "same"}] * 15 + POOL[:3]
    assert sorted(row["q"] for row in draw(make(), pool, 3, seed=5).before({"q": "same"}, "0")) == [
        "row 0",
        "row 1",
        "row 2",
    ]
    with pytest.raises(DataError, match=r"4 shots are asked for, but 'train' has 3 other rows"):
        draw(make(), pool, 4, seed=5).before({"q": "same"}, "0")


def test_first_n_takes_the_first_in_order(make: Make) -> None:
    shots = draw(make(fewshot_config={"sampler": "first_n"}), POOL, 3, seed=9)
    assert shots.before(OTHER, "0") == POOL[:3]
    assert shots.before(POOL[1], "1") == [POOL[0], POOL[2], POOL[3]]


def test_per_example_draws_anew_for_each_and_the_same_again(make: Make) -> None:
    shots = draw(make(fewshot_config={"sampler": "per_example"}), POOL, 3, seed=9)
    headers = [shots.before(OTHER, str(i)) for i in range(10)]
    assert len({tuple(row["q"] for row in header) for header in headers}) > 5
    assert [shots.before(OTHER, str(i)) for i in reversed(range(10))] == headers[::-1]


def test_too_few_rows_are_named(make: Make) -> None:
    with pytest.raises(DataError, match="21 shots are asked for, but 'train' has 20 other rows"):
        draw(make(), POOL, 21, seed=1)
    assert draw(make(), (), 0, seed=1).before(OTHER, "0") == []
