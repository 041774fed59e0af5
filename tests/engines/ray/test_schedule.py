"""A free worker stays with the model that it has open, then with its weights, then goes where most is left."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from evalharness.engines.ray.schedule import CallQueue, WorkerCall, key_of
from evalharness.records.models import Checkpoint


def model(name: str, base: str = "") -> Checkpoint:
    facts = dict.fromkeys(("parameters", "trainable", "bytes"), 1)
    place = Path(base) if base else None
    adapter = "LORA" if base else ""
    return Checkpoint(
        name=name, kind="x", path=Path(name), base=place, fingerprint=name, window=None, adapter=adapter, **facts
    )


BASE, LORA, FULL, OTHER = model("base"), model("lora", "base"), model("full"), model("other")


def queue(**counts: int) -> CallQueue:
    by_name = {each.name: each for each in (BASE, LORA, FULL, OTHER)}
    tasks = CallQueue()
    for name, count in counts.items():
        for number in range(count):
            tasks.add(WorkerCall(by_name[name], "answer", (), number))
    return tasks


def taken(tasks: CallQueue, has_open: Checkpoint | None, **at_work: int) -> str:
    by_name = {each.name: each for each in (BASE, LORA, FULL, OTHER)}
    task = tasks.take(has_open, Counter({key_of(by_name[name]): count for name, count in at_work.items()}))
    return task.checkpoint.name if task else ""


def test_the_next_block_is_of_the_model_that_is_open() -> None:
    tasks = queue(full=9, base=2)
    assert [taken(tasks, BASE) for _ in range(3)] == ["base", "base", "full"]
    assert len(tasks) == 8


def test_the_next_model_is_on_the_same_weights() -> None:
    tasks = queue(full=9, lora=1)
    assert [taken(tasks, BASE, full=1) for _ in range(2)] == ["lora", "full"]


def test_else_the_one_of_which_most_is_left_for_each_worker() -> None:
    assert taken(queue(base=3, full=4), None) == "full"
    assert taken(queue(base=3, full=4), None, full=1) == "base"
    assert taken(queue(base=3, full=4), OTHER, base=1, full=1) == "full"


def test_of_equals_the_first_and_where_none_waits_none() -> None:
    assert taken(queue(base=2, full=2), None) == "base"
    assert taken(queue(), BASE) == ""
