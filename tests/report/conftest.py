"""Runs to render: five candidates on the embedded world's tasks with every verdict, flag and missing value; only a
base; a run with errors.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from evalharness.records.answers import AnswerCounts
from evalharness.records.comparison import Comparison, Estimate, WouldDecide
from evalharness.records.diagnosis import ChoiceBias, Diagnosis, Measure, WrittenFlips
from evalharness.records.measurements import ExampleError, Sample
from evalharness.records.results import Flip, ModelRow, Results

BASE = "tiny-base"
# name, family, level, gate unit, deciding metric, n, available, base score, margin
TASKS = (
    ("demo", "suite", "suite", True, "margins", 2890, 2890, 0.0, 1.0),
    ("sst2", "glue", "task", True, "acc", 300, 872, 0.87, 0.02),
    ("cola", "glue", "task", True, "mcc", 300, 300, 0.41, 0.05),
    ("rte", "glue", "task", True, "acc", 200, 200, 0.52, 0.02),
    ("boolq", "superglue", "task", True, "acc", 300, 300, 0.78, 0.02),
    ("copa", "superglue", "task", True, "acc", 100, 100, 0.71, 0.02),
    ("mmlu", "mmlu", "group", True, "acc", 400, 400, 0.62, 0.02),
    ("mmlu_anatomy", "mmlu", "task", False, "acc", 100, 100, 0.60, 0.02),
    ("mmlu_astronomy", "mmlu", "task", False, "acc", 100, 100, 0.66, 0.02),
    ("mmlu_virology", "mmlu", "task", False, "acc", 100, 100, 0.58, 0.02),
    ("mmlu_world_religions", "mmlu", "task", False, "acc", 100, 100, 0.64, 0.02),
    ("emoji_movie", "bigbench_lite", "task", True, "exact_match", 100, 100, 0.31, 0.02),
    ("dialogsum", "summarization", "task", True, "rougeL,stemmer", 250, 1500, 0.64, 0.02),
    ("wmt16-en-de", "translation", "task", True, "bleu", 250, 250, 31.4, 1.0),
    ("topics", "demo", "task", True, "acc", 300, 300, 0.21, 0.02),
)
MORE_METRICS = {
    "dialogsum": (("rouge1,stemmer", 0.2334), ("rouge2,stemmer", 0.0760), ("rougeLsum,stemmer", 0.2014)),
    "sst2": (("acc_norm", 0.86),),
    "wmt16-en-de": (("nist", 4.31),),
}
# candidate: its change, in margins, on each task (in the order of TASKS)
CHANGES = {
    "full-high": (-17, -14, -6, -1.2, -10.5, -4, -9, -8, -11, -7, -10, -3, -29, -11.2, 36),
    "full-low": (-1.4, -0.2, 0.4, -1.5, -1.3, 1, -0.1, 0.5, -1, 0.5, -0.5, 0, -2.6, -0.7, 33),
    "lora-r8": (-0.1, 0.15, 0.1, 0.0, 0.1, 0.5, 0.05, 0, 0, 0.5, -0.5, 0.5, -0.3, -0.1, 31),
    "lora-slow": (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.05, 0.0, 0.4),
    "prompt-16": (-0.6, -0.9, -0.3, 0.2, -1.1, 0, -0.5, -1, 0.5, -0.5, -1, -0.5, -1.0, 0.1, 20),
}
SCALE = {"full-high": 1.0, "full-low": 0.5, "lora-r8": 0.16, "lora-slow": 0.05, "prompt-16": 0.5}


def _share(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2))


def _comparison(row: tuple, i: int, candidate: str, random_: random.Random) -> Comparison:
    task, family, level, unit, metric, n, available, base, margin = row
    delta = CHANGES[candidate][i] * margin
    high = 100.0 if metric == "bleu" else 1.0
    spread = (0.02 + 0.9 * SCALE[candidate] / math.sqrt(n)) * margin * 12 * random_.uniform(0.7, 1.2)
    if level == "suite":
        spread = 0.2 + SCALE[candidate]
    error = spread / 1.645
    p_forgotten, p_retained = _share((delta + margin) / error), _share(-(delta + margin) / error)
    verdict = "forgotten" if p_forgotten * 4 <= 0.05 else "retained" if p_retained <= 0.05 else "inconclusive"
    flags = [
        name
        for name, holds in (
            ("drop_detected", delta + spread < 0 and verdict != "forgotten"),
            ("improved", delta - spread > 0),
        )
        if holds
    ]
    if task == "rte":
        verdict, flags = "inconclusive", [*flags, "base_at_chance"]
    if task == "cola" and verdict == "retained":
        verdict, flags = "inconclusive", [*flags, "margin_exceeds_skill"]
    if level != "suite" and p_forgotten <= 0.05:
        flags.append("suspect")
    flags += ["no_range"] if task == "wmt16-en-de" and verdict == "inconclusive" else []
    flags += ["chance_unknown"] if task == "demo" and level == "suite" and verdict == "inconclusive" else []
    flags += ["no_target"] if level == "suite" and candidate == "prompt-16" else []
    flags += ["truncated"] if task == "dialogsum" else []
    flags += ["unparsed"] if task == "emoji_movie" and candidate == "prompt-16" else []
    flags += ["prompts_differ"] if task == "copa" and candidate == "prompt-16" else []
    flags += ["repeated_prompts", "constant_answer"] if task == "rte" else []
    flags += ["cut_off", "empty_answers", "decoded_differently"] if task == "dialogsum" else []
    flags += ["engine_noise", "mixed_engines"] if task == "dialogsum" else []
    flags += ["stopped_early"] if task == "copa" and candidate == "full-high" else []
    flags += ["suite_not_tested"] if level == "suite" and candidate == "full-high" else []
    changed = max(round(n * SCALE[candidate] * 0.2), abs(round(n * delta / high)))
    lost = (changed - round(n * delta / high)) // 2
    counts = (None, None) if metric in ("bleu", "mcc", "margins") else (lost, max(changed - lost, 0))
    never = verdict != "inconclusive" or {"base_at_chance", "margin_exceeds_skill", "no_range"} & set(flags)
    what = WouldDecide(
        verdict="forgotten" if delta < -margin else "retained",
        assumption="as_seen" if delta < -margin else "nothing_lost",
        examples=round(n * 3.4),
        power=0.8,
        there=n * 3.4 <= available,
    )
    return Comparison(
        task=task,
        family=family,
        level=level,
        unit=unit,
        metric=metric,
        primary=True,
        candidate=candidate,
        n=n,
        base=Estimate(value=base, low=base - 0.04 * high, high=base + 0.04 * high) if level != "suite" else None,
        candidate_score=Estimate(value=base + delta, low=base + delta - 0.04 * high, high=base + delta + 0.04 * high)
        if level != "suite"
        else None,
        difference=Estimate(value=delta, low=delta - spread, high=delta + spread),
        ci_level=0.9,
        lost=counts[0],
        gained=counts[1],
        p_forgotten=p_forgotten,
        p_forgotten_adjusted=min(1.0, 4 * p_forgotten),
        p_retained=p_retained,
        p_difference=min(1.0, 2 * _share(-abs(delta) / error)),
        margin=margin,
        verdict=verdict,
        flags=tuple(flags),
        would_decide=None if never else what,
        repeated=12 if task == "rte" else 0,
        base_answers=ANSWERS.get(task),
        candidate_answers=ANSWERS.get(task),
        available=available,
        median=round(delta / 2, 2) if level == "suite" else None,
        points=metric not in ("bleu", "mcc", "margins"),
        span=None if level == "suite" or task == "wmt16-en-de" else 2.0 if metric == "mcc" else 1.0,
        retention=Estimate(value=1 - SCALE[candidate] * 0.8) if level == "suite" else None,
        base_parts=PARTS if metric == "bleu" else {},
        candidate_parts={**PARTS, "precision1": 60.0} if metric == "bleu" else {},
    )


PARTS = {"precision1": 61.25, "precision4": 18.0, "brevity_penalty": 0.97, "words": 5012.0, "reference_words": 5165.0}
ANSWERS = {
    "rte": AnswerCounts(answers=277, most_common="True", most_common_count=277, most_common_right=140),
    "dialogsum": AnswerCounts(
        answers=200, most_common="a ship", most_common_count=9, most_common_right=0, empty=30, cut_off=50
    ),
}


def _describing(comparison: Comparison, metric: str, base: float) -> Comparison:
    """A row of a metric that is not primary; opaque metrics have no interval."""
    change = comparison.difference.value * 0.8
    return replace(
        comparison,
        base_parts={},
        candidate_parts={},
        metric=metric,
        primary=False,
        unit=False,
        base=Estimate(value=base),
        candidate_score=Estimate(value=base + change),
        difference=Estimate(value=change),
        lost=None,
        gained=None,
        p_forgotten=None,
        p_forgotten_adjusted=None,
        p_retained=None,
        p_difference=None,
        margin=None,
        verdict=None,
        flags=(),
        would_decide=None,
    )


def _models() -> tuple[ModelRow, ...]:
    def row(
        name: str,
        kind: str,
        trainable: int,
        size: int,
        gain: float | None,
        learned: bool | None,
        target: str | None = "topics",
    ) -> ModelRow:
        estimate = None if gain is None else Estimate(value=gain, low=gain - 0.05, high=gain + 0.05)
        digest = f"{random.Random(name).getrandbits(256):064x}"
        return ModelRow(
            name=name,
            kind=kind,
            fingerprint=digest,
            base=BASE,
            parameters=2_836_480,
            trainable=trainable,
            trainable_share=trainable / 2_836_480,
            bytes=size,
            target_task=target,
            target_gain=estimate,
            learned_target=learned,
        )  # type: ignore[arg-type]

    base = ModelRow(
        name=BASE,
        kind="base",
        fingerprint="b" * 64,
        base=None,
        parameters=2_836_480,
        trainable=0,
        trainable_share=0.0,
        bytes=11_352_004,
    )
    return (
        base,
        row("full-high", "full", 2_836_480, 11_352_004, 0.72, True),
        row("full-low", "full", 2_836_480, 11_352_004, 0.66, True),
        row("lora-r8", "lora", 73_728, 301_224, 0.62, True),
        row("lora-slow", "lora", 73_728, 301_224, 0.008, False),
        row("prompt-16", "prompt", 4_096, 17_112, None, None, None),
    )


WORDS = (
    "a ship met the old tower at noon and Mia said she would bring bread to the harbour before the storm came in from "
    "the north"
).split()


def _example(task: str, number: int, text: bool, right: bool) -> Sample:
    """What the base was asked and answered: the same for all candidates."""
    random_ = random.Random(f"{task} {number}")
    reference = (
        " ".join(random_.choices(WORDS, k=18)) if text else random_.choice(["yes", "positive", "B", "the harbour"])
    )
    passage, topic = " ".join(random_.choices(WORDS, k=60)), random_.choice(WORDS)
    return Sample(
        id=f"{number}-{task[:3]}",
        unit=f"{number}",
        prompt=f"Passage: {passage}.\nQuestion: where did the {topic} go?\nAnswer:",
        output=reference if right else _wrong(random_, reference, text),
        reference=reference,
        score=(0.71 if text else 1.0) if right else (0.22 if text else 0.0),
    )


def _wrong(random_: random.Random, right: str, text: bool) -> str:
    if text:
        return " ".join(word if random_.random() < 0.6 else random_.choice(WORDS) for word in right.split())
    return random_.choice(["no", "negative", "C"])


def _flips(random_: random.Random, comparisons: list[Comparison], most: int) -> list[Flip]:
    """Of every task the examples that some candidate lost or gained, with the answers of all candidates."""
    flips = []
    rows = [c for c in comparisons if c.primary and c.level == "task" and c.lost is not None and c.gained is not None]
    for task in dict.fromkeys(c.task for c in rows):
        own = [c for c in rows if c.task == task]
        text = own[0].metric.startswith("rouge")
        changed = {c.candidate: (min(c.lost, most), min(c.gained, most - min(c.lost, most))) for c in own}
        most_lost, most_gained = (max(counts[i] for counts in changed.values()) for i in (0, 1))
        for k in range(most_lost + most_gained):
            lost = k < most_lost
            base = _example(task, k if lost else 1000 + k - most_lost, text, right=lost)
            for c in own:
                flipped = k < changed[c.candidate][0] if lost else k - most_lost < changed[c.candidate][1]
                good = lost != flipped
                after = replace(
                    base,
                    output=(base.reference if good else _wrong(random_, base.reference, text))
                    if flipped
                    else base.output,
                    score=(0.71 if text else 1.0) if good else (0.22 if text else 0.0),
                    truncated=task == "dialogsum" and k % 5 == 0,
                )
                direction = ("lost" if lost else "gained") if flipped else "same"
                flips.append(Flip(task=task, candidate=c.candidate, direction=direction, base=base, sample=after))
    return flips


DIGESTS = {"definition": "a" * 64, "data": "d" * 64, "prompts": "e" * 64}
SIGNATURE = {
    "suite": "demo", "base": BASE, "models": {BASE: "b" * 64},
    "tasks": {
        row[0]: {**DIGESTS, "version": "1.0", "examples": row[5], "metrics": {row[4]: "v:1"}}
        for row in TASKS if row[2] == "task"
    },
    "limit": None, "num_fewshot": None, "split": "test", "seed": 1234, "alpha": 0.05, "margin": None,
    "engine": {"name": "hf", "fingerprint": "f" * 64, "dtype": "float32", "device": "cpu", "threads": 2},
    "packages": {"torch": "2.13.0", "transformers": "5.23.0"},
}  # fmt: skip
COST = {
    "started": "2026-09-01T10:11:12Z",
    "seconds": 74.218,
    "phases": {"verify": 1.2, "answer": 70.1, "compare": 2.9},
    "models": {
        BASE: {"computed": 2890, "stored": 0, "seconds": 12.5},
        "lora-r8": {"computed": 2890, "stored": 11, "seconds": 14.1},
    },
    "peak_memory_bytes": 812_000_000,
    "notices": [],
}


def full_run(most_flips: int = 60) -> Results:
    """Five candidates × fourteen tasks, a group and the suite."""
    random_ = random.Random(7)
    comparisons = []
    for i, row in enumerate(TASKS):
        for candidate in CHANGES:
            comparison = _comparison(row, i, candidate, random_)
            comparisons.append(comparison)
            comparisons += [_describing(comparison, metric, base) for metric, base in MORE_METRICS.get(row[0], ())]
    return Results(
        signature=SIGNATURE,
        models=_models(),
        comparisons=tuple(comparisons),
        errors=(),
        flips=tuple(_flips(random_, comparisons, most_flips)),
    )


@pytest.fixture(scope="session")
def make_run() -> Callable[..., Results]:
    return full_run


@pytest.fixture(scope="session")
def run() -> Results:
    return full_run()


@pytest.fixture(scope="session")
def only_base() -> Results:
    return Results(signature={**SIGNATURE, "suite": None}, models=_models()[:1], comparisons=())


@pytest.fixture(scope="session")
def troubled() -> Results:
    """One unanswered example of the base, forty of a candidate, and a task nobody could read."""
    reasons = [
        ExampleError(task="sst2", model=BASE, example="17-ab", reason="logits are not finite"),
        ExampleError(task="copa", model="", example="", reason="rows.jsonl, line 3: not UTF-8"),
    ]
    reasons += [
        ExampleError(task="dialogsum", model="full-high", example=f"{i}-cd", reason="the engine stopped: out of memory")
        for i in range(40)
    ]
    return replace(full_run(), errors=tuple(reasons))


@pytest.fixture(scope="session")
def cost() -> dict[str, object]:
    return dict(COST)


def _measure(name: str, base: float, candidate: float, low: float, high: float, sign: float = 1.0) -> Measure:
    difference = Estimate(value=sign * (candidate - base), low=low, high=high)
    return Measure(
        name=name,
        task="boolq@written",
        metric=name,
        base=Estimate(value=base),
        candidate=Estimate(value=candidate),
        difference=difference,
    )


def _diagnosis(candidate: str = "full-high", task: str = "boolq", **changes: object) -> Diagnosis:
    flips = WrittenFlips(
        answers=300,
        lost_unreadable=120,
        lost_wrong=14,
        gained_unreadable=2,
        gained_wrong=3,
        unreadable=Estimate(value=-118 / 300, low=-0.44, high=-0.34),
        wrong=Estimate(value=-11 / 300, low=-0.06, high=-0.01),
        balance=Estimate(value=-107 / 300, low=-0.41, high=-0.3),
    )
    measures = (
        _measure("choosing", 0.78, 0.57, -0.25, -0.16),
        _measure("written", 0.74, 0.31, -0.48, -0.38),
        _measure("unparsed", 0.01, 0.42, -0.46, -0.36, -1.0),
        _measure("length", 2.0, 17.25, 14.1, 16.4),
    )
    leaning = {
        "base": ChoiceBias(choice="yes", picked=0.55, right=0.5),
        "candidate": ChoiceBias(choice="<b onclick='x'>A</b>", picked=0.92, right=0.5),
    }
    found = Diagnosis(
        task=task,
        level="task",
        candidate=candidate,
        twin=f"{task}@written",
        n=300,
        ci_level=0.9,
        conclusion="both",
        says="it chooses worse",
        measures=measures,
        flips=flips,
        leaning=leaning,
    )
    return replace(found, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def explained(run: Results) -> Results:
    """The run with two diagnoses, of a task and of a group, not in the order of the candidates."""
    group = _diagnosis("prompt-16", "mmlu", level="group", conclusion="format", says="the format", leaning=None)
    return replace(run, diagnoses=(group, _diagnosis()))


def _unmeasured(c: Comparison) -> Comparison:
    """The row as it is where no unit was answered by both."""
    return replace(
        c, n=0, base=None, candidate_score=None, difference=None, lost=None, gained=None, p_forgotten=None,
        p_forgotten_adjusted=None, p_retained=None, p_difference=None, would_decide=None,
        verdict=c.verdict and "inconclusive", flags=("incomplete",),
    )  # fmt: skip


@pytest.fixture(scope="session")
def half_measured(run: Results) -> Results:
    """Nothing was measured of full-low but its gain; the suite has a difference and no scores."""
    rows = [_unmeasured(c) if c.candidate == "full-low" else c for c in run.comparisons]
    rows = [replace(c, base=None, candidate_score=None) if c.level == "suite" else c for c in rows]
    return replace(run, comparisons=tuple(rows))


@pytest.fixture(scope="session")
def unmeasured(run: Results) -> Results:
    """No unit was answered by base and candidate."""
    return replace(run, comparisons=tuple(map(_unmeasured, run.comparisons)), flips=())
