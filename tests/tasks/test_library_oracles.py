"""Every task at its ends: an oracle reaches the maximum, an anti-oracle the minimum, a uniform guesser the stated
chance.

The demo's tasks on the embedded world's rows, by every metric; the tasks of `forgetting-full`, and those that public
rows cannot score, on the few rows of fixtures/benchmarks, by the metric that decides. MMLU's subjects differ in nothing
but their rows, so that two of them stand for all (fixtures/test_benchmarks_bigbench.py goes through every one).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import matthews_corrcoef
from slow_cases import first_of_each

from evalharness.data.sources import DataSource
from evalharness.metrics.build import build
from evalharness.paths import shipped
from evalharness.records.measurements import Metric, TaskOutcome
from evalharness.records.requests import Example, Generation, PreparedTask, Rank, Ranking, Request, Response
from evalharness.run.measure import measure
from evalharness.tasks.library import Library
from evalharness.tasks.prepare import PromptSettings, prepare

LIBRARY = Library()
DEMO, FULL = LIBRARY.suite("demo"), LIBRARY.suite("forgetting-full")
BENCHMARKS = Path(__file__).parents[2] / "fixtures" / "benchmarks"
APART = ("sglue_rte", "ax", "axb", "axg", "e2e_nlg", "lambada_standard")
DRAWS = {"multiple_choice": 1500, "generate_until": 100, "loglikelihood": 100}  # random letters are worth nothing
Answer = Callable[[Example, Request], Response]


@dataclass(frozen=True)
class Place:
    """A task on some rows."""

    task: str
    rows: str

    def __str__(self) -> str:
        return f"{self.task}-{self.rows}"


SUBJECTS = [name for name in FULL.tasks if LIBRARY.task(name).family == "mmlu"]
PLACES = [
    *(Place(name, "world") for name in DEMO.tasks),
    *(Place(name, "benchmarks") for name in (*FULL.tasks, *APART) if name not in SUBJECTS[1:-1]),
]


@cache
def prepared(place: Place) -> PreparedTask:
    task = LIBRARY.task(place.task)
    if place.rows == "world":
        asking, source = (
            PromptSettings(split=DEMO.split, num_fewshot=DEMO.num_fewshot),
            DataSource(shipped=shipped(str(DEMO.data))),
        )
    else:
        labelled = BENCHMARKS / "published" if place.task == "ax" else BENCHMARKS  # the hub's copy has no labels
        asking, source = PromptSettings(num_fewshot=0), DataSource(labelled)
    return prepare(task, source, asking)


def measured(place: Place, answer: Answer) -> TaskOutcome:
    asked = prepared(place)
    answers = {
        request.id: answer(example, request) for example, request in zip(asked.examples, asked.requests, strict=True)
    }
    return measure(asked, answers, "oracle")


def metrics(place: Place) -> dict[str, Metric]:
    """Every metric on the world's rows; the deciding one on the few rows of the benchmarks, where an F1 may have one
    class only.
    """
    task = LIBRARY.task(place.task)
    return {spec.id: build(spec) for spec in task.metrics if place.rows == "world" or spec.id == task.primary}


def scores(place: Place, answer: Answer) -> dict[str, float]:
    known, found = metrics(place), measured(place, answer)
    assert found.errors == ()
    return {
        m.metric: float(known[m.metric].score(m.rows.sum(axis=0)))
        for m in found.measurements
        if m.metric in known and m.point is None
    }


def ends(place: Place, best: bool) -> dict[str, float]:
    known = {name: metric for name, metric in metrics(place).items() if metric.kind != "opaque"}
    return {name: metric.high if best is metric.higher_is_better else metric.low for name, metric in known.items()}


def ranked(request: Rank, liked: Callable[[int], bool]) -> Ranking:
    logprobs = tuple(-1e-6 if liked(i) else -1000.0 for i in range(len(request.pairs)))
    return Ranking(
        request_id=request.id,
        logprobs=logprobs,
        tokens=tuple(1 for _ in logprobs),
        greedy=tuple(x > -1 for x in logprobs),
    )


def expecting(request: Rank, value: float) -> Ranking:
    """Choices 0, 1, 2, … weighted so that the expected choice is `value`."""
    low = min(math.floor(value), len(request.pairs) - 2)
    weights = {low: low + 1 - value, low + 1: value - low}
    logprobs = tuple(math.log(weights.get(i, 0.0) or 1e-300) for i in range(len(request.pairs)))
    return Ranking(
        request_id=request.id,
        logprobs=logprobs,
        tokens=tuple(1 for _ in logprobs),
        greedy=tuple(False for _ in logprobs),
    )


def oracle(example: Example, request: Request) -> Response:
    if isinstance(request, Rank):
        return (
            expecting(request, example.value)
            if example.value is not None
            else ranked(request, lambda i: i in example.gold)
        )
    return Generation(request_id=request.id, text=example.references[0], finish_reason="stop", tokens=1)


def anti_oracle(example: Example, request: Request) -> Response:
    if isinstance(request, Rank):
        if example.value is not None:
            return expecting(request, len(request.pairs) - 1 - example.value)
        return ranked(request, lambda i: i not in example.gold)
    return Generation(request_id=request.id, text="", finish_reason="eos", tokens=0)


def uniform(draws: random.Random) -> Answer:
    def answer(example: Example, request: Request) -> Response:
        if isinstance(request, Rank):
            chosen = draws.randrange(len(request.pairs))
            return ranked(request, lambda i: i == chosen and len(request.pairs) > 1)  # one text is written, or is not
        return Generation(
            request_id=request.id, text="".join(draws.choices("qxzjkv", k=12)), finish_reason="length", tokens=12
        )

    return answer


def guessed(place: Place) -> Iterator[np.ndarray]:
    """Summed rows of the deciding metric of guess after guess at all examples."""
    draws, task = random.Random(place.task), LIBRARY.task(place.task)
    for _ in range(math.ceil(DRAWS[task.output_type] / len(prepared(place).examples))):
        found = measured(place, uniform(draws))
        yield next(m.rows.sum(axis=0) for m in found.measurements if m.metric == task.primary)


def test_the_suites_have_what_they_promise() -> None:
    families = {LIBRARY.task(name).family for name in DEMO.tasks}
    assert families == {"glue", "superglue", "mmlu", "bigbench_lite", "summarization", "translation", "demo"}
    assert all(len(prepared(place).examples) >= 500 for place in PLACES if place.rows == "world")
    assert {LIBRARY.task(name).family for name in FULL.tasks} == families - {"demo"} | {"general"}


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_an_oracle_reaches_the_maximum_and_an_anti_oracle_the_minimum(place: Place) -> None:
    assert scores(place, oracle) == pytest.approx(ends(place, best=True))
    if place.task != "ax":
        assert scores(place, anti_oracle) == pytest.approx(ends(place, best=False))


def test_an_anti_oracle_on_three_classes_is_as_bad_as_scikit_learn_says() -> None:
    """Matthews' correlation of more than two classes has no model at -1 (Gorodkin 2004)."""
    place = Place("ax", "benchmarks")
    gold = [example.gold[0] for example in prepared(place).examples]
    assert scores(place, anti_oracle) == {
        "mcc": pytest.approx(matthews_corrcoef(gold, [int(label == 0) for label in gold]))
    }


def kind(place: Place) -> tuple[object, ...]:
    """Tasks that are answered in one way, and scored by one metric, at one chance."""
    task = LIBRARY.task(place.task)
    return task.output_type, task.primary, task.chance, place.rows


@pytest.mark.parametrize("place", first_of_each(PLACES, kind), ids=str)
def test_a_uniform_guesser_reaches_the_stated_chance(place: Place) -> None:
    task, asked = LIBRARY.task(place.task), prepared(place)
    metric = build(next(spec for spec in task.metrics if spec.id == task.primary))
    sums = list(guessed(place))
    n = len(sums) * len(asked.examples)
    variance = (
        1.0 if metric.low < 0 else max(asked.chance * (metric.high - asked.chance), 1e-4 * metric.high**2)
    )  # a correlation's is 1 / n
    assert float(metric.score(np.sum(sums, axis=0))) == pytest.approx(asked.chance, abs=4 * np.sqrt(variance / n))
    if place.rows == "benchmarks":
        assert asked.chance == pytest.approx(task.chance, abs=0.01), "the rows' own chance is not what the task states"
