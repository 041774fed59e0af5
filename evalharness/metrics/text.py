"""Score generated text by exact match with a reference, or by whether it contains one.

The normalisation of exact matches is lm-evaluation-harness's `exact_match_hf_evaluate` (which is the `evaluate`
library's `exact_match`).
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Sequence
from functools import partial

from evalharness.budget import TooMuch, time_limit
from evalharness.errors import TaskError
from evalharness.metrics.base import Mean, Observation, flag, observation_metric, options_of, written_text
from evalharness.metrics.instruction_checks import occurrences
from evalharness.records.measurements import Metric, Prediction
from evalharness.records.requests import Ranking
from evalharness.records.tasks import MetricSpec
from evalharness.stats.enums import MetricKind

FLAGS = ("ignore_case", "ignore_punctuation", "ignore_numbers")
PUNCTUATION = str.maketrans("", "", string.punctuation)
DIGITS = str.maketrans("", "", string.digits)


def exact_match(spec: MetricSpec) -> Metric:
    """Build the metric `exact_match`: 1 if the text equals one of the references, both normalised; on ranked tasks, 1
    if greedy decoding gives a right choice.

    Options: ignore_case, ignore_punctuation (ASCII), ignore_numbers (ASCII digits), regexes_to_ignore (removed first,
    in order). Raises TaskError for an unknown option or a pattern that does not compile.
    """
    options = options_of(spec, (*FLAGS, "regexes_to_ignore"))
    case, punctuation, numbers = (flag(spec, options, key) for key in FLAGS)
    patterns = _patterns(spec, options.get("regexes_to_ignore") or ())
    without = _without(spec, patterns)

    def normalise(text: str) -> str:
        text = without(text) if patterns else text
        text = text.lower() if case else text
        text = text.translate(PUNCTUATION) if punctuation else text
        return text.translate(DIGITS) if numbers else text

    ignored = [name.removeprefix("ignore_") for name, on in zip(FLAGS, (case, punctuation, numbers), strict=True) if on]
    ignored += [f"/{pattern.pattern}/" for pattern in patterns]
    return Mean(
        spec.id,
        MetricKind.BINARY,
        f"exact_match|ignore:{','.join(ignored) or 'nothing'}|refs:any|v:1",
        partial(_matches, spec.name, normalise),
    )


def contains(spec: MetricSpec) -> Metric:
    """Build the metric `contains`: 1 if the text contains one of the references as whole words, in any case; else 0."""
    return observation_metric(
        spec, MetricKind.BINARY, "refs:any|whole:words|ignore:case", _looked_for, lambda results: float(any(results))
    )


def _looked_for(references: Sequence[str], text: str) -> tuple[Observation, ...]:
    places = {reference: occurrences(text, reference) for reference in references}
    return tuple(Observation(f"contains “{each}”", bool(hits), f"{len(hits)} times") for each, hits in places.items())


def _matches(name: str, normalise: Callable[[str], str], prediction: Prediction) -> float:
    example, response = prediction.example, prediction.response
    if isinstance(response, Ranking):
        return float(any(response.greedy[gold] for gold in example.gold))
    text = written_text(prediction, name)
    return float(text is not None and normalise(text) in map(normalise, example.references))


def _without(spec: MetricSpec, patterns: Sequence[re.Pattern[str]]) -> Callable[[str], str]:
    """Return a function that removes what the patterns match. Once they took too long, it raises TaskError on every
    call.
    """
    too_slow: list[TaskError] = []

    def removed(text: str) -> str:
        try:
            with time_limit():
                for pattern in () if too_slow else patterns:
                    text = pattern.sub("", text)
        except TooMuch as error:
            fix = "a pattern without a repeat inside a repeat would be right"
            too_slow.append(TaskError(f"metric {spec.name}", f"regexes_to_ignore: {error}", fix))
        if too_slow:
            raise too_slow[0]
        return text

    return removed


def _patterns(spec: MetricSpec, sources: object) -> tuple[re.Pattern[str], ...]:
    where, fix = f"metric {spec.name}", "a list of regular expressions would be right"
    if not isinstance(sources, (list, tuple)):
        raise TaskError(where, f"regexes_to_ignore is {sources!r}", fix)
    try:
        return tuple(re.compile(source) for source in sources)
    except (re.error, TypeError) as error:
        raise TaskError(where, f"regexes_to_ignore does not compile: {error}", fix) from None
