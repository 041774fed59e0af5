"""Parse nemo-evaluator's logs of samples.

0.2: its own runner (bring your own benchmark) writes TASK/byob_predictions.jsonl with --save-predictions, and the
means, to four decimals, to byob_results.json. 0.3: `nel eval run` writes TASK/results.jsonl and, with the mean,
eval-ID.json.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from evalharness.data.contents import unreadable
from evalharness.data.files import DataRow, json_value, kind, numbered_rows
from evalharness.errors import DataError

PREDICTIONS, RESULTS = "byob_predictions.jsonl", "byob_results.json"
LINES, BUNDLES = "results.jsonl", "eval-*.json"
REWARD = "reward"
RERUN = "run nemo-evaluator again with --save-predictions"
AGAIN = "run nemo-evaluator again, or copy the files again"
ROUNDED = 0.5001e-4  # the means in RESULTS have four decimals
Kinds = Mapping[str, type | tuple[type, ...]]
TEXT = (str, type(None))
KINDS: Kinds = {
    "sample_id": int,
    "prompt": str,
    "response": TEXT,
    "scores": (dict, type(None)),
    "status": str,
    "metadata": dict,
}
KINDS_OF_LINES: Kinds = {
    "problem_idx": int,
    "repeat": int,
    "prompt": str,
    "model_response": TEXT,
    "reward": (int, float),
    "expected_answer": TEXT,
    "scoring_details": dict,
}


class NemoSample(NamedTuple):
    """One question that was sent once.

    `number` is that of the question, and of its repeat. `prompt` is everything that was sent, `question` the question
    in it. `scores` are as they were logged. `error` is why the sample got none, "" if it got some.
    """

    number: tuple[int, int]
    prompt: Any
    question: str
    target: Any
    choices: list[str]
    response: str
    scores: Mapping[str, Any]
    error: str


@dataclass(frozen=True, slots=True)
class NemoTask:
    """One task of one model.

    `reported` maps a metric to its mean and, if stated, the number of values. `tolerance` is the rounding of the mean.
    """

    name: str
    file: Path
    results: Path
    samples: tuple[NemoSample, ...]
    reported: Mapping[str, tuple[Any, int | None]]
    tolerance: float


def files_at(path: Path) -> list[Path]:
    """List the files of samples.

    They are in the folder (one task), else in the folders in it (one model), else in the folders in these (several
    models).
    """
    for depth in ("", "*/", "*/*/"):
        lines = [file for file in path.glob(depth + LINES) if any(file.parent.glob(BUNDLES))]
        if files := sorted([*path.glob(depth + PREDICTIONS), *lines]):
            return files
    return []


def parse(file: Path) -> NemoTask:
    """Parse one task's files. Raises DataError for files that are not nemo-evaluator's."""
    return _predictions(file) if file.name == PREDICTIONS else _results(file)


def _predictions(file: Path) -> NemoTask:
    results = file.with_name(RESULTS)
    name, reported = file.parent.resolve().name, dict[str, tuple[Any, int | None]]()
    if results.exists():
        document = json_value(results, finite=False)
        try:
            ((name, of),) = document["tasks"].items()
            scores = of["metrics"]["pass@1"]["scores"]
            reported = {metric: (score["value"], score["stats"]["count"]) for metric, score in scores.items()}
        except (KeyError, TypeError, AttributeError, ValueError):
            what = "no results of nemo-evaluator's runner (without the scores of one task)"
            raise DataError(results, what, AGAIN) from None
    samples = tuple(_of_prediction(line) for line in _lines(file, KINDS, "target"))
    _check_distinct(file, samples)
    return NemoTask(str(name), file, results, samples, reported, ROUNDED)


def _of_prediction(line: DataRow) -> NemoSample:
    choices = line["metadata"].get("_choices")
    scores = line["scores"] if line["status"] == "scored" else None
    error = "" if scores is not None else str(line.get("error") or line["status"])
    listed = [str(choice) for choice in choices] if isinstance(choices, list) else []
    response, number = line["response"] or "", (line["sample_id"], 0)
    return NemoSample(number, line["prompt"], line["prompt"], line["target"], listed, response, scores or {}, error)


def _results(file: Path) -> NemoTask:
    results = max(file.parent.glob(BUNDLES))
    document = json_value(results, finite=False)
    try:
        name, mean = document["benchmark"]["name"], document["benchmark"]["scores"]["summary"]["mean"]
    except (KeyError, TypeError):
        raise DataError(results, "no results of nemo-evaluator (without the mean of a benchmark)", AGAIN) from None
    samples = sorted((_of_line(line) for line in _lines(file, KINDS_OF_LINES)), key=lambda sample: sample.number)
    _check_distinct(file, samples)
    return NemoTask(str(name), file, results, tuple(samples), {REWARD: (mean, None)}, 1e-9)


def _of_line(line: DataRow) -> NemoSample:
    """Return the sample of one line. A question that could not be sent or scored has a reward of 0 and an error."""
    others = line.get("scorer_rewards")
    scores = {REWARD: line[REWARD], **(others if isinstance(others, dict) else {})}
    return NemoSample(
        (line["problem_idx"], line["repeat"]),
        [line["prompt"], _sent(line.get("trajectory"))],
        line["prompt"],
        line["expected_answer"],
        [],
        line["model_response"] or "",
        scores,
        str(line["scoring_details"].get("error") or ""),
    )


def _sent(trajectory: Any) -> list[Any]:
    """List the messages before the model's first, including the system prompt."""
    first = trajectory[0] if isinstance(trajectory, list) and trajectory else None
    steps = first.get("steps") if isinstance(first, dict) else None
    sent: list[Any] = []
    for step in steps if isinstance(steps, list) else []:
        if not isinstance(step, dict) or step.get("source") == "agent":
            break
        sent.append([step.get("source"), step.get("message")])
    return sent


def _lines(file: Path, kinds: Kinds, *others: str) -> Iterator[DataRow]:
    """Yield the lines of a file. `others` are keys whose values may have any type.

    Raises DataError naming the line if it is no sample.
    """
    try:
        for number, line in numbered_rows(file, finite=False):
            place = f"{file}:{number}"
            if missing := [key for key in (*kinds, *others) if key not in line]:
                raise DataError(place, f"no sample of nemo-evaluator (without {', '.join(missing)})", AGAIN)
            for key, form in kinds.items():
                if not isinstance(line[key], form) or isinstance(line[key], bool):
                    raise DataError(place, f"no sample of nemo-evaluator ({key} is {kind(line[key])})", AGAIN)
            yield line
    except OSError as error:
        raise unreadable(file, error) from None


def _check_distinct(file: Path, samples: list[NemoSample] | tuple[NemoSample, ...]) -> None:
    """Raise DataError for a sample that comes twice."""
    numbers: set[tuple[int, int]] = set()
    for sample in samples:
        if sample.number in numbers:
            raise DataError(file, f"sample {sample.number[0]} comes twice", AGAIN)
        numbers.add(sample.number)
