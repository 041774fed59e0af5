"""Detect the language of written text with py3langid: naive Bayes over byte n-grams (Lui and Baldwin 2012).

It is deterministic and includes its model. Code, addresses, and texts that the row excludes (such as the question) are
removed first. With fewer than LEAST bytes of letters the language is unknown: `no_language` counts that, and it is no
right answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from importlib.metadata import version
from typing import Any

from py3langid.langid import MODEL_FILE, LanguageIdentifier

from evalharness.errors import TaskError, did_you_mean
from evalharness.metrics.base import Mean, Observation, all_true, observation_metric, options_of
from evalharness.records.measurements import Metric
from evalharness.records.tasks import MetricSpec
from evalharness.stats.enums import MetricKind

LEAST = 20  # bytes of letters: four or five words, or seven Chinese characters
NO_TEXT = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|\w+://\S+", re.S)


def answer_language(spec: MetricSpec) -> Metric:
    """Build the metric `answer_language`: 1 if the text is in the language that the row's first reference names (ISO
    639-1), else 0.

    Option: languages to choose from, by default all that py3langid knows. Raises TaskError for unknown ones.
    """
    return _metric(spec, all_true)


def no_language(spec: MetricSpec) -> Metric:
    """Build the metric `no_language`: 1 if the text has too few letters outside code to be in any language, else 0;
    lower is better.
    """
    return replace(_metric(spec, lambda results: float(not results[0])), higher_is_better=False)


def _metric(spec: MetricSpec, value: Callable[[list[bool]], float]) -> Mean:
    languages = _languages(spec, options_of(spec, ("languages",)))
    among = ",".join(languages) or "all"
    signature = f"py3langid:{version('py3langid')}|among:{among}|least:{LEAST}"
    return observation_metric(spec, MetricKind.BINARY, signature, partial(_in_language, languages), value)


def running_text(text: str, no_answers: Sequence[str] = ()) -> str:
    """Return the text without code, addresses and the texts that are no answer."""
    for other in no_answers:
        text = text.replace(other, " ")
    return NO_TEXT.sub(" ", text).strip()


def _in_language(languages: tuple[str, ...], references: Sequence[str], text: str) -> tuple[Observation, ...]:
    language, *no_answers = references
    if language not in (names := languages or tuple(_identifier(()).labels)):
        raise ValueError(f"the reference {language!r} is none of the languages {', '.join(names)}")
    bare = running_text(text, no_answers)
    size = sum(len(letter.encode("utf-8", "replace")) for letter in bare if letter.isalpha())
    detected = _identifier(languages).classify(bare)[0] if size >= LEAST else "too little to tell"
    return (
        Observation(f"{LEAST} bytes of letters or more, without code and the question", size >= LEAST, f"{size}"),
        Observation(f"in the language {language}", detected == language, detected),
    )


def _languages(spec: MetricSpec, options: Mapping[str, Any]) -> tuple[str, ...]:
    languages = options.get("languages", [])
    if not isinstance(languages, list) or not all(isinstance(each, str) for each in languages):
        raise TaskError(f"metric {spec.name}", f"languages is {languages!r}", "a list such as [en, de] would be right")
    for each in languages:
        if each not in (labels := _identifier(()).labels):
            raise TaskError(f"metric {spec.name}", f"languages has the unknown {each!r}", did_you_mean(each, labels))
    return tuple(dict.fromkeys(languages))


@lru_cache(maxsize=8)
def _identifier(languages: tuple[str, ...]) -> LanguageIdentifier:
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    identifier.set_languages(languages or None)
    return identifier
