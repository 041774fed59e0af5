"""Score a model's answers to one task: the rows of every unit (examples that belong together), samples to read, and
errors.

A row is what a metric keeps of a unit's answers. A failed answer is never a score: its example has no row. An empty
generation is a valid answer that scores 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from evalharness.errors import TaskError
from evalharness.metrics.base import ByUnit, OfAll, OpaqueMetric
from evalharness.metrics.build import build
from evalharness.records.measurements import ExampleError, Measurement, Metric, Prediction, Sample, TaskOutcome
from evalharness.records.requests import Example, Failure, Generation, PreparedTask, Ranking, Response, Scoring
from evalharness.records.tasks import Task
from evalharness.stats.enums import MetricKind
from evalharness.tasks import filters
from evalharness.tasks.answer_counts import ReadAnswer, count_answers, picked_answer

Rows = dict[str, tuple[float, ...]]  # of a metric, by example id
WHOLE_TASK = "*"  # in place of an example's id, where a metric of all of them failed


def measure(
    prepared: PreparedTask, answers: Mapping[str, Response | Failure], model: str, near_tie: float = 0.0
) -> TaskOutcome:
    """Score one model's answers to one task. Raises TaskError if a metric is unknown.

    `answers`: by request id, as `collect` or `ask` return them. `near_tie`: the nats within which the two best choices
    are a near tie. Rows of a unit are added up, in the order of the units' first answered examples. Rows that could not
    be asked (`prepared.failures`) and examples without a usable answer have no row: each is an ExampleError.
    """
    metrics = {spec.id: build(spec) for spec in prepared.task.metrics}
    answered, broken = _sorted_out(prepared, answers)
    errors = [
        ExampleError(task=prepared.task.name, model=model, example=example, reason=reason)
        for example, reason in (*prepared.failures, *broken.items())
    ]
    read = {}
    for name, steps in _pipelines(prepared.task).items():
        read[name], unread = _read_all(answered, steps, prepared.task.repeats)
        errors += [
            ExampleError(task=prepared.task.name, model=model, example=example, reason=reason)
            for example, reason in unread.items()
        ]
    measurements, rows = [], {name: Rows() for name in metrics}
    for spec in prepared.task.metrics:
        measurement, failed = _scored(prepared.task.name, model, metrics[spec.id], read[spec.filter], rows[spec.id])
        measurements.append(measurement)
        errors += failed
    deciding = {spec.id: spec for spec in prepared.task.metrics}[prepared.task.primary]
    predictions = {prediction.example.id: prediction for prediction in read[deciding.filter]}
    samples = (
        _sample(example, predictions.get(example.id), metrics[deciding.id], rows[deciding.id], broken.get(example.id))
        for example in prepared.examples
    )
    return TaskOutcome(
        measurements=tuple(measurements),
        samples=tuple(samples),
        errors=tuple(errors),
        unparsed=sum(prediction.unparsed for prediction in predictions.values()),
        answers=count_answers([each for p in predictions.values() if (each := _answer(p, near_tie)) is not None]),
    )


def _sorted_out(
    prepared: PreparedTask, answers: Mapping[str, Response | Failure]
) -> tuple[list[tuple[Example, Response]], dict[str, str]]:
    """Split a task's examples into those with a usable answer, and those without: example id -> reason."""
    answered: list[tuple[Example, Response]] = []
    broken: dict[str, str] = {}
    for example, request in zip(prepared.examples, prepared.requests, strict=True):
        answer = answers.get(request.id)
        if reason := _what_is_wrong(example, answer):
            broken[example.id] = reason
        elif answer is not None and not isinstance(answer, Failure):
            answered.append((example, answer))
    return answered, broken


def _what_is_wrong(example: Example, answer: Response | Failure | None) -> str:
    """Return why this example cannot be scored; "" if it can."""
    if answer is None:
        return "no answer was collected"
    if isinstance(answer, Failure):
        return answer.reason
    if isinstance(answer, Generation) and not example.references:
        return "the row has no reference to compare with"
    return ""


def _pipelines(task: Task) -> dict[str, Sequence[filters.Step]]:
    """Map each filter pipeline that a metric of the task uses to its steps. `none` needs no definition and does
    nothing. Raises TaskError.
    """
    defined = {"none": (), **dict(task.filters)}
    for spec in task.metrics:
        if spec.filter not in defined:
            raise TaskError(
                task.source, f"metric {spec.id} reads through filter {spec.filter!r}, which filter_list does not define"
            )
    return {spec.filter: defined[spec.filter] for spec in task.metrics}


def _read_all(
    answered: Sequence[tuple[Example, Response]], steps: Sequence[filters.Step], copies: int
) -> tuple[list[Prediction], dict[str, str]]:
    """Read all answers through one pipeline. If one answer takes too long, it and the examples after it are not read:
    example id -> reason.
    """
    predictions: list[Prediction] = []
    try:
        for example, answer in answered:
            predictions.append(_read(example, answer, steps, copies))
    except filters.TooSlow as error:
        return predictions, {example.id: str(error) for example, _ in answered[len(predictions) :]}
    return predictions, {}


def _read(example: Example, answer: Response, steps: Sequence[filters.Step], copies: int) -> Prediction:
    """Read the answer from a response: the first of the most likely choices, or the filtered text (of `copies` greedy
    generations).
    """
    if isinstance(answer, Ranking):
        logprobs = answer.logprobs[: len(example.choices)]
        return Prediction(example=example, response=answer, choice=max(range(len(logprobs)), key=logprobs.__getitem__))
    if not isinstance(answer, Generation):
        return Prediction(example=example, response=answer)
    filtered = filters.apply(steps, [answer.text] * copies, filters.choices_of(example.tags))
    return Prediction(example=example, response=answer, text=filtered.text, unparsed=filtered.unparsed)


def _answer(prediction: Prediction, near_tie: float) -> ReadAnswer | None:
    """Return the answer of a prediction for counting; None if no choice was ranked and no text written."""
    example, response = prediction.example, prediction.response
    if prediction.choice is not None:
        best = sorted(response.logprobs[: len(example.choices)])[-2:] if isinstance(response, Ranking) else []
        near = len(best) == 2 and best[1] - best[0] < near_tie
        return picked_answer(example.choices, prediction.choice, example.gold, near)
    if not isinstance(response, Generation) or prediction.text is None:
        return None
    text = prediction.text.strip()
    return ReadAnswer(
        text,
        tuple(reference.strip() for reference in example.references),
        empty=not (text and response.text.strip()),
        cut_off=response.finish_reason == "length",
        unreadable=prediction.unparsed,
    )


def _scored(
    task: str, model: str, metric: Metric, predictions: Sequence[Prediction], own: Rows
) -> tuple[Measurement, list[ExampleError]]:
    """Measure by one metric of any kind, with the errors of what it could not score. Rows of single predictions are
    added to `own`.
    """
    if isinstance(metric, OfAll):
        return _of_all(task, model, metric, predictions)
    return _measurement(task, model, metric, predictions, {} if isinstance(metric, ByUnit) else own)


def _measurement(
    task: str, model: str, metric: Metric, predictions: Sequence[Prediction], own: Rows
) -> tuple[Measurement, list[ExampleError]]:
    """Compute the rows (units, width) of one metric, or the point of an opaque one with width 0, with the errors of
    what it could not score.
    """
    rows: list[tuple[float, ...]] = []
    sizes: dict[str, int] = {}  # examples of each unit, in the order in which the first stands
    at: list[str] = []
    point, errors = None, []
    by_unit = metric.unit_row if isinstance(metric, ByUnit) else None  # asking a protocol is slow
    for together in _rows_together(metric, predictions):
        unit = together[0].example.unit
        try:
            row = metric.row(together[0]) if by_unit is None else by_unit(together)
        except TaskError as error:
            errors += [ExampleError(task=task, model=model, example=p.example.id, reason=str(error)) for p in together]
            continue
        rows.append(row)
        own[together[0].example.id] = row
        sizes[unit] = sizes.get(unit, 0) + len(together)
        at.append(unit)
    if isinstance(metric, OpaqueMetric):
        try:
            point = metric.point(predictions)
        except TaskError as error:
            errors.append(ExampleError(task=task, model=model, example=WHOLE_TASK, reason=str(error)))
    place = {unit: index for index, unit in enumerate(sizes)}
    sums = np.zeros((len(place), metric.width))
    np.add.at(sums, [place[unit] for unit in at], np.array(rows, dtype=np.float64).reshape(len(rows), metric.width))
    return Measurement(
        task=task,
        metric=metric.id,
        model=model,
        units=tuple(sizes),
        sizes=tuple(sizes.values()),
        rows=sums,
        point=point,
    ), errors


def _of_all(
    task: str, model: str, metric: Metric, predictions: Sequence[Prediction]
) -> tuple[Measurement, list[ExampleError]]:
    """Measure by a metric whose rows need all predictions together: by all of them, or none. Return as `_measurement`
    does.
    """
    assert isinstance(metric, OfAll)
    sizes = Counter(prediction.example.unit for prediction in predictions)
    try:
        rows, errors = metric.unit_rows(predictions), []
    except TaskError as error:
        rows, errors = {}, [ExampleError(task=task, model=model, example=WHOLE_TASK, reason=str(error))]
    return Measurement(
        task=task,
        metric=metric.id,
        model=model,
        units=tuple(rows),
        sizes=tuple(sizes[unit] for unit in rows),
        rows=np.array(list(rows.values()), dtype=np.float64).reshape(len(rows), metric.width),
    ), errors


def _rows_together(metric: Metric, predictions: Sequence[Prediction]) -> list[list[Prediction]]:
    """Group the predictions of each row: one alone, or, if a row is no sum over predictions, all predictions of one
    key.
    """
    if not isinstance(metric, ByUnit):
        return [[prediction] for prediction in predictions]
    by_key: dict[str, list[Prediction]] = {}
    for prediction in predictions:
        by_key.setdefault(prediction.example.key or prediction.example.unit, []).append(prediction)
    return list(by_key.values())


def _sample(example: Example, prediction: Prediction | None, metric: Metric, rows: Rows, error: str | None) -> Sample:
    """Make a sample to read: the model's output before filters, and the reference. `rows`: by example id, as far as
    they are computed.
    """
    output, score = "", None
    if prediction is not None:
        response = prediction.response
        output = _output(example, response, prediction.choice)
        if metric.kind in (MetricKind.BINARY, MetricKind.GRADED):
            try:
                row = rows[example.id] if example.id in rows else metric.row(prediction)
                score = float(metric.score(np.array(row, dtype=np.float64)))
            except TaskError as problem:  # which is an error of the measurement already
                error = str(problem)
    right = example.references or tuple(example.choices[gold] for gold in example.gold)
    return Sample(
        id=example.id,
        unit=example.unit,
        prompt=example.prompt,
        output=output,
        reference=" | ".join(right),
        score=score,
        truncated=example.truncated,
        error=error,
    )


def _output(example: Example, response: Response, choice: int | None) -> str:
    if isinstance(response, Generation):
        return response.text
    return f"{response.logprob:.6g} nats" if isinstance(response, Scoring) else example.choices[choice or 0]
