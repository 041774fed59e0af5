"""Score a short answer, written or picked, by exact match and overlap of words with the best of the right answers.

This is the scoring of SQuAD and ReCoRD. Both sides are made comparable first: lower case, no ASCII punctuation, no
English article, single spaces (Rajpurkar et al. 2016).
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from evalharness.errors import TaskError
from evalharness.json_text import parse_json
from evalharness.metrics.base import Mean, chosen, refused
from evalharness.records.measurements import Metric, Prediction
from evalharness.records.requests import Example, Generation
from evalharness.records.tasks import MetricSpec
from evalharness.stats.enums import MetricKind

# A tag of the example (a task's `metadata.labels`): a JSON list with one text for each choice, the answer where the
# choice says more. ReCoRD's choices are whole sentences with a name put into the gap; compared are the names.
NAMES_TAG = "choice_names"

PUNCTUATION = str.maketrans("", "", string.punctuation)
ARTICLES = re.compile(r"\b(a|an|the)\b")


def em(spec: MetricSpec) -> Metric:
    """1 where the answer equals one of the right ones, both normalised."""
    return Mean(
        spec.id,
        MetricKind.BINARY,
        "em|normalise:squad|refs:max|v:1",
        partial(_best, spec.name, lambda answer, right: float(answer == right)),
    )


def token_f1(spec: MetricSpec) -> Metric:
    """F1 of the words that the answer shares with a right one, both normalised; the best of the right ones counts."""
    return Mean(
        spec.id, MetricKind.GRADED, "token_f1|normalise:squad|refs:max|v:1", partial(_best, spec.name, _overlap)
    )


def normalised(text: str) -> str:
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def _overlap(answer: str, right: str) -> float:
    """F1 of the words of two normalised texts; one without words agrees with another such (as in SQuAD 2.0), and with
    nothing else.
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
    """The answer, None where none could be read out of what was written, and all right answers. Raises TaskError where
    there is none of these.
    """
    example = prediction.example
    if isinstance(prediction.response, Generation):
        answer, right = prediction.text, example.references
    else:
        names = _names(example, name)
        answer, right = names[chosen(prediction, name)], tuple(names[gold] for gold in example.gold)
    if not right:
        raise refused(name, example, "has no right answer", "give it a reference, or a right choice")
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
