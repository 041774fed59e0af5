"""Extract the scored text from a model's answer with lm-evaluation-harness's declarative filters.

A pipeline maps lists of texts to lists of texts, and the first text of the result is scored. Answers are greedy, so all
texts of a task with `repeats` are equal. lm-eval unwraps the list in `take_first`, so that a later filter sees single
letters; here it sees the text.
"""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from evalharness.budget import TooMuch, time_limit
from evalharness.errors import TaskError, did_you_mean
from evalharness.tasks.reading import written_choice

REGEX = r"#### (\-?[0-9\.\,]+)"  # lm-eval's default pattern: the answer line of GSM8K
FALLBACK = "[invalid]"
SLOW = "a pattern without a repeat inside a repeat would be right"
CHOICES_TAG = "choices_of_the_row"
CHOICES = "{{ choices | tojson }}"  # lm-eval's multi_choice_regex reads the row's column `choices`

Step = Mapping[str, Any]

PATTERN = ("regex_pattern", "group_select", "fallback")
OPTIONS: dict[str, tuple[str, ...]] = {  # of each filter
    "take_first": (),
    "take_first_k": ("k",),
    "majority_vote": (),
    "regex": PATTERN,
    "multi_choice_regex": (*PATTERN, "ignore_case", "ignore_punctuation", "regexes_to_ignore"),
    "remove_whitespace": (),
    "lowercase": (),
    "uppercase": (),
    "map": ("mapping_dict", "default_value"),
    "written_choice": ("exact", "letters"),  # ours: see reading.py
}
FLAGS = ("ignore_case", "ignore_punctuation", "exact", "letters")
REFUSED = {
    "custom": "runs Python code",
    "regex_pos": "makes lists of part-of-speech tags, which only Python code can score",
    "format_span": "makes lists of named entities, which only Python code can score",
    "decontaminate": "does nothing in lm-evaluation-harness either",
}


@dataclass(frozen=True, slots=True)
class FilteredText:
    """The scored text. `unparsed`: no answer could be extracted, and the text is the filter's fallback."""

    text: str
    unparsed: bool = False


class TooSlow(TaskError):
    """Raised if a pattern of a pipeline takes too long on an answer."""


def check(steps: Sequence[Step], where: object = "filter_list", repeats: int = 1) -> None:
    """Raise TaskError for a pipeline that cannot run: an unknown or refused filter, an unknown option, a pattern that
    does not compile.
    """
    for step in steps:
        name = step.get("function") if isinstance(step, Mapping) else None
        if name in REFUSED:
            raise TaskError(
                where, f"filter {name!r} is not supported: it {REFUSED[name]}", f"known: {', '.join(OPTIONS)}"
            )
        if not isinstance(name, str) or name not in OPTIONS:
            raise TaskError(where, f"unknown filter {name!r}", did_you_mean(str(name), OPTIONS))
        for key in step:
            if key != "function" and key not in OPTIONS[name]:
                fix = did_you_mean(str(key), OPTIONS[name]) if OPTIONS[name] else "it takes none"
                raise TaskError(where, f"filter {name!r} has no option {key!r}", fix)
        _check_values(name, step, where, repeats)


def apply(steps: Sequence[Step], texts: Sequence[str], choices: Sequence[str] = ()) -> FilteredText:
    """Extract the scored text from one request's texts. It is `unparsed` if a regex matched nothing or a map had no
    entry.

    The steps must have passed `check`. `choices` are those of the row, for multi_choice_regex. Raises TooSlow if their
    patterns take too long.
    """
    if not steps:
        return FilteredText(texts[0])
    filtered = [FilteredText(text) for text in texts]
    try:
        with time_limit():
            for step in steps:
                filtered = STEPS[step["function"]](step, filtered, choices)
    except TooMuch as error:
        raise TooSlow("filter_list", f"reading an answer of {len(texts[0])} characters: {error}", SLOW) from None
    return filtered[0]


def reads_choices(pipelines: Sequence[tuple[str, Sequence[Step]]]) -> bool:
    """Return whether one of the pipelines uses the row's choices."""
    reading = ("multi_choice_regex", "written_choice")
    return any(step.get("function") in reading for _, steps in pipelines for step in steps)


def choices_of(tags: Mapping[str, str]) -> tuple[str, ...]:
    """Return the row's choices from an example's tags; () if the task's filters do not use them. Raises TaskError if
    they are no texts.
    """
    if CHOICES_TAG not in tags:
        return ()
    choices = json.loads(tags[CHOICES_TAG])
    if not isinstance(choices, (list, dict)) or not all(isinstance(choice, str) for choice in choices):
        raise TaskError(
            "multi_choice_regex",
            f"the row's column 'choices' holds {tags[CHOICES_TAG][:80]}",
            "a list of texts would be right",
        )
    return tuple(choices)


def _check_values(name: str, step: Step, where: object, repeats: int) -> None:
    if name == "map" and not isinstance(step.get("mapping_dict", {}), Mapping):
        raise TaskError(
            where, f"mapping_dict is {step['mapping_dict']!r}", "a mapping of texts to texts would be right"
        )
    if name == "take_first_k":
        k = step.get("k")
        if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= repeats:
            raise TaskError(
                where,
                f"filter 'take_first_k' has k: {k!r}",
                f"a whole number from 1 to the task's repeats ({repeats}) would be right",
            )
    for key in FLAGS:
        if not isinstance(step.get(key, False), bool):
            raise TaskError(where, f"{key} of the filter {name!r} is {step[key]!r}", "true or false would be right")
    if "regex_pattern" not in OPTIONS[name]:
        return
    group = step.get("group_select", 0)
    if isinstance(group, bool) or not isinstance(group, int):
        raise TaskError(where, f"group_select is {group!r}", "a whole number would be right (-1 is the last match)")
    if not isinstance(step.get("fallback", FALLBACK), str):
        raise TaskError(where, f"fallback is {step['fallback']!r}", "a text would be right")
    ignored = step.get("regexes_to_ignore") or []
    if not isinstance(ignored, list):
        raise TaskError(where, f"regexes_to_ignore is {ignored!r}", "a list of regular expressions would be right")
    patterns = [("regex_pattern", step.get("regex_pattern", REGEX))]
    for key, pattern in (*patterns, *(("regexes_to_ignore", each) for each in ignored)):
        try:
            re.compile(pattern)
        except (re.error, TypeError) as error:
            raise TaskError(
                where, f"{key} does not compile: {error}", "a Python regular expression would be right"
            ) from None


def _each(
    change: Callable[[Step, FilteredText], FilteredText],
) -> Callable[[Step, list[FilteredText], Sequence[str]], list[FilteredText]]:
    """Return a filter that changes each text on its own."""
    return lambda step, before, choices: [change(step, text) for text in before]


def _majority(step: Step, before: list[FilteredText], choices: Sequence[str]) -> list[FilteredText]:
    """Return the most common text; of equals the first."""
    return [Counter(before).most_common(1)[0][0]]


def _selected(matches: Sequence[Any], group_select: int) -> str | None:
    """Return the `group_select`-th match, stripped; of several groups the first that is not empty; None if there is
    none.

    With too few matches lm-eval stops with an IndexError; here the answer is unparsed.
    """
    try:
        match = matches[group_select]
    except IndexError:
        return None
    if isinstance(match, tuple):
        match = next((group for group in match if group), None)
    return None if match is None else match.strip()


def _regex(step: Step, before: FilteredText) -> FilteredText:
    match = _selected(re.findall(step.get("regex_pattern", REGEX), before.text), step.get("group_select", 0))
    if match is None:
        return FilteredText(step.get("fallback", FALLBACK), unparsed=True)
    return FilteredText(match, before.unparsed)


def _multi_choice_regex(step: Step, before: list[FilteredText], choices: Sequence[str]) -> list[FilteredText]:
    """Return the pattern's match; else the letter "(B)" of a choice whose text is in the answer; else a letter after a
    colon; else the fallback.
    """
    letters = [chr(ord("A") + index) for index in range(len(choices))]
    texts = [_without_ignored(step, choice.strip()) for choice in choices]
    by_text = {text: f"({letter})" for text, letter in zip(texts, letters, strict=True)}
    by_letter = {letter: f"({letter})" for letter in letters}
    longest_first = sorted(map(re.escape, texts), key=len, reverse=True)  # one may be the beginning of another
    any_text = re.compile("|".join(longest_first))
    any_letter = re.compile(rf":[\s]*({'|'.join(map(re.escape, letters))})")
    group, fallback = step.get("group_select", 0), step.get("fallback", FALLBACK)

    def read(answer: FilteredText) -> FilteredText:
        match = _selected(re.findall(step.get("regex_pattern", REGEX), answer.text), group)
        if not match:
            match = _selected(any_text.findall(_without_ignored(step, answer.text)), group)
            match = match and by_text.get(match, match)
        if not match:
            match = _selected(any_letter.findall(answer.text), group)
            match = match and by_letter.get(match, match)
        return FilteredText(match, answer.unparsed) if match else FilteredText(fallback, unparsed=True)

    return [read(answer) for answer in before]


def _without_ignored(step: Step, text: str) -> str:
    for pattern in step.get("regexes_to_ignore") or []:
        text = re.sub(pattern, "", text)
    text = text.lower() if step.get("ignore_case") else text
    return text.translate(_punctuation()) if step.get("ignore_punctuation") else text


@lru_cache(maxsize=1)
def _punctuation() -> dict[int, None]:
    return {code: None for code in range(sys.maxunicode) if unicodedata.category(chr(code)).startswith("P")}


def _written_choice(step: Step, before: list[FilteredText], choices: Sequence[str]) -> list[FilteredText]:
    """Return the choice that each text gives; the fallback if it gives none."""
    letters, exact = step.get("letters") is True, step.get("exact") is True
    read = [(written_choice(answer.text, choices, letters, exact), answer.unparsed) for answer in before]
    return [
        FilteredText(FALLBACK, True) if choice is None else FilteredText(choice, unparsed) for choice, unparsed in read
    ]


def _map(step: Step, before: FilteredText) -> FilteredText:
    mapping = step.get("mapping_dict") or {}
    if before.text in mapping:
        return FilteredText(str(mapping[before.text]), before.unparsed)
    default = step.get("default_value")
    return FilteredText("" if default is None else str(default), unparsed=True)


STEPS: dict[str, Callable[[Step, list[FilteredText], Sequence[str]], list[FilteredText]]] = {
    "take_first": lambda step, before, choices: before[:1],
    "take_first_k": lambda step, before, choices: before[: step["k"]],
    "majority_vote": _majority,
    "regex": _each(_regex),
    "multi_choice_regex": _multi_choice_regex,
    "remove_whitespace": _each(lambda step, before: FilteredText(before.text.strip(), before.unparsed)),
    "lowercase": _each(lambda step, before: FilteredText(before.text.lower(), before.unparsed)),
    "uppercase": _each(lambda step, before: FilteredText(before.text.upper(), before.unparsed)),
    "map": _each(_map),
    "written_choice": _written_choice,
}
