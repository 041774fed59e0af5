"""The published average of a suite: over which scores, from which scale, and when it is left out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evalharness.analysis.average import missing_for_average, with_average
from evalharness.records.comparison import Comparison, Estimate
from evalharness.records.measurements import MetricFacts, TaskFacts
from evalharness.records.tasks import Average

# What GLUE's leaderboard does with a task's two metrics and with MNLI's two parts, on invented scores.
GLUE = Average(name="glue_score", over={"cola": ("mcc",), "mrpc": ("f1", "acc"), "mnli+mnli_mismatch": ("acc",)})
SCORES = {
    ("cola", "mcc"): 0.3,
    ("mrpc", "f1"): 0.9,
    ("mrpc", "acc"): 0.7,
    ("mnli", "acc"): 0.5,
    ("mnli_mismatch", "acc"): 0.7,
}


def facts(chance: float = 0.0, **more: bool) -> list[TaskFacts]:
    found = []
    for task in dict.fromkeys(task for task, _ in SCORES):
        metrics = tuple(
            MetricFacts(
                id=metric,
                name=metric,
                options={},
                kind="binary",
                low=0.0,
                high=1.0,
                higher_is_better=more.get("higher", True),
                signature=metric,
            )
            for name, metric in SCORES
            if name == task
        )
        found.append(
            TaskFacts(
                name=task,
                family="glue",
                version="1",
                primary=metrics[0].id,
                margin=0.02,
                chance=chance,
                available=100,
                truncated=0,
                failed={},
                unparsed={},
                data_digest="d",
                prompts_digest="p",
                metrics=metrics,
            )
        )
    return found


def row(task: str, metric: str, value: float, candidate: str = "lora", **more: object) -> Comparison:
    plain = Comparison(
        task=task, family="glue", level="task", unit=True, metric=metric, primary=True, candidate=candidate, n=50,
        base=Estimate(value=value, low=0, high=1), candidate_score=Estimate(value=value - 0.1),
        difference=Estimate(value=-0.1), ci_level=0.9, available=60,
    )  # fmt: skip
    return replace(plain, **more)


def rows(candidate: str = "lora") -> list[Comparison]:
    suite = row("glue", "skill", 1.0, candidate, level="suite", family="suite")
    return [*(row(task, metric, value, candidate) for (task, metric), value in SCORES.items()), suite]


def test_an_entry_is_the_mean_of_its_metrics_and_joined_tasks_come_first() -> None:
    found = with_average([*rows(), *rows("full")], facts(), GLUE, "glue")
    assert [(r.candidate, r.metric) for r in found if r.level == "suite"] == [
        (candidate, metric) for candidate in ("lora", "full") for metric in ("skill", "glue_score")
    ]
    average = found[len(rows())]
    by_hand = (0.3 + (0.9 + 0.7) / 2 + (0.5 + 0.7) / 2) / 3
    assert average.base.value == pytest.approx(by_hand)
    assert average.difference == Estimate(value=pytest.approx(-0.1))
    assert (average.primary, average.unit, average.verdict, average.margin, average.base.low) == (
        False,
        False,
        None,
        None,
        None,
    )
    assert (average.task, average.n, average.available) == ("glue", 200, 240)


def test_normalised_scores_run_from_chance_to_the_best() -> None:
    over = Average(name="normalised", over={"mnli": ("acc",), "cola": ("mcc",)}, normalised=True)
    found = with_average(rows(), facts(chance=0.25), over, None)[-1]
    assert found.base.value == pytest.approx(((0.5 - 0.25) / 0.75 + (0.3 - 0.25) / 0.75) / 2)
    assert found.task == "normalised"


@pytest.mark.parametrize(
    ("average", "message"),
    [
        (Average(name="a", over={"cola": ("mcc",), "wnli": ("acc",)}), ["wnli"]),
        (Average(name="a", over={"cola+rte": ("mcc", "acc")}), ["acc of cola", "rte"]),
        (Average(name="a", over={"mrpc": ("acc",)}, normalised=True), ["chance of acc of mrpc"]),
    ],
)
def test_an_average_over_less_than_was_published_is_left_out(average: Average, message: list[str]) -> None:
    assert sorted(missing_for_average(average, facts())) == sorted(message)
    assert with_average(rows(), facts(), average, "glue") == tuple(rows())


def test_a_score_that_is_better_when_lower_has_no_place_in_an_average() -> None:
    assert missing_for_average(Average(name="a", over={"cola": ("mcc",)}), facts(higher=False)) == [
        "cola: mcc is better when lower"
    ]


def test_a_task_without_answers_leaves_the_average_out_and_missing_examples_are_flagged() -> None:
    def broken(**more: object) -> list[Comparison]:
        return [replace(each, **more) if each.task == "cola" else each for each in rows()]

    assert len(with_average(broken(n=0), facts(), GLUE, "glue")) == len(rows())
    assert with_average(broken(flags=("incomplete",)), facts(), GLUE, "glue")[-1].flags == ("incomplete",)


def test_without_an_average_nothing_changes() -> None:
    assert with_average(rows(), facts(), None, "glue") == tuple(rows())
