"""Read from written text which language it is in, by py3langid: naive Bayes over byte n-grams (Lui and Baldwin 2012).

It is deterministic and brings its model. Code, addresses, and texts that the row names as no answer (the question
again) are left out first. Less than LEAST bytes of letters say nothing of a language: that is counted (`no_language`)
and no right answer.
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
from evalharness.metrics.base import Mean, Observation, all_held, observing, options_of
from evalharness.records.measurements import Metric
from evalharness.records.tasks import MetricSpec
from evalharness.stats.enums import MetricKind

LEAST = 20  # bytes of letters: four or five words, or seven Chinese characters
NO_TEXT = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|\w+://\S+", re.S)


def answer_language(spec: MetricSpec) -> Metric:
    """1 where the text is in the language that the row's first reference names (ISO 639-1).

    Option: languages, those to choose among; all that py3langid knows where absent. Raises TaskError for others.
    """
    return _metric(spec, all_held)


def no_language(spec: MetricSpec) -> Metric:
    """1 where the text is too short, or too much code, to be in any language; lower is better."""
    return replace(_metric(spec, lambda held: float(not held[0])), higher_is_better=False)


def _metric(spec: MetricSpec, value: Callable[[list[bool]], float]) -> Mean:
    languages = _languages(spec, options_of(spec, ("languages",)))
    among = ",".join(languages) or "all"
    signature = f"py3langid:{version('py3langid')}|among:{among}|least:{LEAST}"
    return observing(spec, MetricKind.BINARY, signature, partial(_in_language, languages), value)


def running_text(text: str, no_answers: Sequence[str] = ()) -> str:
    """What is left of a text without code, addresses and what is no answer."""
    for other in no_answers:
        text = text.replace(other, " ")
    return NO_TEXT.sub(" ", text).strip()


def _in_language(languages: tuple[str, ...], references: Sequence[str], text: str) -> tuple[Observation, ...]:
    wanted, *no_answers = references
    if wanted not in (known := languages or tuple(_identifier(()).labels)):
        raise ValueError(f"the reference {wanted!r} is none of the languages {', '.join(known)}")
    bare = running_text(text, no_answers)
    size = sum(len(letter.encode("utf-8", "replace")) for letter in bare if letter.isalpha())
    seen = _identifier(languages).classify(bare)[0] if size >= LEAST else "too little to tell"
    return (
        Observation(f"{LEAST} bytes of letters or more, without code and the question", size >= LEAST, f"{size}"),
        Observation(f"in the language {wanted}", seen == wanted, seen),
    )


def _languages(spec: MetricSpec, options: Mapping[str, Any]) -> tuple[str, ...]:
    given = options.get("languages", [])
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
        raise TaskError(f"metric {spec.name}", f"languages is {given!r}", "a list such as [en, de] would be right")
    for each in given:
        if each not in (known := _identifier(()).labels):
            raise TaskError(f"metric {spec.name}", f"languages has the unknown {each!r}", did_you_mean(each, known))
    return tuple(dict.fromkeys(given))


@lru_cache(maxsize=8)
def _identifier(languages: tuple[str, ...]) -> LanguageIdentifier:
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    identifier.set_languages(languages or None)
    return identifier
