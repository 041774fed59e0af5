"""The benchmarks of what a run costs beside and with its model: their arithmetic; what they measure is run by
`make bench-driver` and `make bench-cost` alone.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from evalharness.records.requests import Example, Generate, PreparedTask, Rank
from evalharness.tasks.library import Library

HERE = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def cost() -> Iterator[Any]:
    """The scripts, by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(HERE)
        names = ("driver", "cost_model", "at_scale")
        modules: dict[str, ModuleType] = {name: importlib.import_module(name) for name in names}
        yield SimpleNamespace(**modules)
        for name in names:
            del sys.modules[name]


def letters(text: str) -> tuple[int, ...]:
    return tuple(map(ord, text))


def test_what_prompts_of_a_block_share_is_counted_once(cost: Any) -> None:
    requests = (
        Rank(pairs=(("abcd", "x"), ("abcd", "yz"))),
        Rank(pairs=(("abce", "x"), ("abce", "y"))),
        Generate(prompt="ab", stop=(), max_tokens=4),
    )
    task = PreparedTask(
        task=Library().task("rte"),
        examples=tuple(Example(id=str(i), unit=str(i), prompt="") for i in range(3)),
        requests=requests,
        failures=(),
        available=3,
        data_digest="",
        prompts_digest="",
        chance=None,
    )
    pieces = cost.cost_model.pieces_of(task, letters)
    # abcd, abcdy (the last token of all is foretold, not read), abce, ab: a b c d y e
    assert pieces["tokens"] == 6 and pieces["requests"] == 3 and pieces["texts"] == 1
    assert pieces["scored"] == 3  # after abcd, abcdy and abce
    assert pieces["depth"] == (4**2 + (5**2 - 4**2) + (4**2 - 3**2)) / 2


def test_a_round_of_the_driver_counts_every_response(cost: Any) -> None:
    measured = json.loads(json.dumps(cost.driver.one_round(2, 4)))
    tasks = 15  # MMLU is four of them
    assert measured["paths"]["all computed"][2] == 2 * 4 * tasks
    assert all(len(path) == 3 and path[0] > 0 for path in measured["paths"].values())
    assert measured["stored"] > 0 and measured["samples"] > 0
    lines = list(cost.driver.table([measured], [measured]))
    assert lines[2].startswith("| all computed | ") and lines[2].endswith("| 1.00 | 1.00 |")


def test_what_is_slower_than_the_gpus_is_named(cost: Any) -> None:
    machine = cost.at_scale.Machine(
        gpus=10,
        read=1000.0,
        write=100.0,
        driver=50.0,
        prompts=25.0,
        disk=1e9,
        network=1e9,
        stored=600.0,
        written=6000.0,
    )
    work = cost.at_scale.Work(responses=100, own=1000.0, sent=1000.0, answers=100.0)
    # 2 s of one GPU, 2 s of the driver: with a second GPU the driver is slower
    assert (
        cost.at_scale.row("suite", work, machine, models=1) == "| `suite` | 100 | 0 | 4 | 2 | 0 | 0 | 1 (driver) | 0 |"
    )
