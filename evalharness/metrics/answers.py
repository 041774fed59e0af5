"""Score a short answer, written or picked, by exact match and word overlap with the best of the right answers.

This is the scoring of SQuAD and ReCoRD. Both texts are normalised first: lower case, no ASCII punctuation, no English
article, single spaces (Rajpurkar et al. 2016).
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from evalharness.errors import TaskError
from evalharness.json_text import parse_json
from evalharness.metrics.base import Mean, example_error, picked_choice
from evalharness.records.measurements import Metric, Prediction
from evalharness.records.requests import Example, Generation
from evalharness.records.tasks import MetricSpec
from evalharness.stats.enums import MetricKind

# A tag of the example (a task's `metadata.labels`): a JSON list with the answer of each choice, if a choice is more
# than its answer. ReCoRD's choices are whole sentences with a name in the gap; the names are compared.
NAMES_TAG = "choice_names"

PUNCTUATION = str.maketrans("", "", string.punctuation)
ARTICLES = re.compile(r"\b(a|an|the)\b")


def em(spec: MetricSpec) -> Metric:
    """Build the metric `em`: 1 if the answer equals one of the right ones, both normalised, else 0."""
    return Mean(
        spec.id,
        MetricKind.BINARY,
        "em|normalise:squad|refs:max|v:1",
        partial(_best, spec.name, lambda answer, right: float(answer == right)),
    )


def token_f1(spec: MetricSpec) -> Metric:
    """Build the metric `token_f1`: F1 of the words of the answer and of the best of the right ones, both normalised."""
    return Mean(
        spec.id, MetricKind.GRADED, "token_f1|normalise:squad|refs:max|v:1", partial(_best, spec.name, _overlap)
    )


def normalised(text: str) -> str:
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def _overlap(answer: str, right: str) -> float:
    """Return F1 of the words of two normalised texts; a text without words only matches another one (as in
    SQuAD 2.0).
    """
    ours, theirs = answer.split(), right.split()
    if not ours or not theirs:
        return float(ours == theirs)
    return 2 * (Counter(ours) & Counter(theirs)).total() / (len(ours) + len(theirs))


def _best(name: str, compare: Callable[[str, str], float], prediction: Prediction) -> float:
    answer, right = _texts(prediction, name)
    if answer is None:
        return 0.0
    return max(compare(normalised(answer), normalised(text)) for text in right)


def _texts(prediction: Prediction, name: str) -> tuple[str | None, Sequence[str]]:
    """Return the answer (None if the written text gives none) and all right answers. Raises TaskError without a right
    answer.
    """
    example = prediction.example
    if isinstance(prediction.response, Generation):
        answer, right = prediction.text, example.references
    else:
        names = _names(example, name)
        answer, right = names[picked_choice(prediction, name)], tuple(names[gold] for gold in example.gold)
    if not right:
        raise example_error(name, example, "has no right answer", "give it a reference, or a right choice")
    return answer, right


def _names(example: Example, name: str) -> Sequence[str]:
    text = example.tags.get(NAMES_TAG)
    if text is None:
        return example.choices
    try:
        names = parse_json(text)
    except ValueError:
        names = None
    if isinstance(names, list) and len(names) == len(example.choices) and all(isinstance(each, str) for each in names):
        return names
    raise TaskError(
        f"metric {name}",
        f"label {NAMES_TAG!r} of example {example.id} is {text[:80]!r}",
        f"a JSON list of {len(example.choices)} texts, one for each choice ({{{{ … | tojson }}}})",
    )
