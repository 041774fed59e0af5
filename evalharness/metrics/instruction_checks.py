"""Check whether a text follows instructions that a program can verify: a number of words, a JSON object, no commas, …

The idea is IFEval's (Zhou et al. 2023, arXiv 2311.07911); kinds, names and rules are ours. A check is a mapping: its
`kind`, one of KINDS, and that kind's arguments. Counts (`least`, `most`) include both ends; the case of texts does not
matter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from evalharness.errors import did_you_mean
from evalharness.json_text import parse_json
from evalharness.metrics.base import Observation
from evalharness.metrics.sentences import one_per_line
from evalharness.metrics.written import loops

VERSION = 3
WORD = re.compile(r"\w+(?:['’‑-]\w+|(?<=\d)[.,]\d+)*")
BULLET = re.compile(r"^\s*[*•-][^\S\n]+(?![*-]\s)\S", re.M)
NUMBERED = re.compile(r"^\s*\d+[.)][^\S\n]+\S", re.M)
POSTSCRIPT = re.compile(r"^\s*[*_]*P\.\s?S\.?\s*\S", re.M | re.I)
FENCE = re.compile(r"\A(```|~~~)[^\S\n]*\w*\s(.*?)\1\Z", re.S)
QUOTES = (('"', '"'), ("“", "”"), ("„", "“"), ("„", "”"), ("«", "»"), ("»", "«"))
APOSTROPHES = str.maketrans("’‘ʼ", "'" * 3)
AROUND = "\"'“”*.! "  # characters that may surround a choice
Check = Mapping[str, Any]
Sight = tuple[bool, str]  # does the text follow the instruction, and what it has


@dataclass(frozen=True, slots=True)
class CheckKind:
    """One kind of check.

    `see` is the function that checks a text. `words` describes the check: a format string of its arguments. `needs`
    maps its arguments to their types ("count", "text", "texts"). `counts` says whether it must, may or cannot have
    `least` and `most`.
    """

    see: Callable[[str, Check], Sight]
    words: str
    needs: Mapping[str, str] = field(default_factory=dict)
    counts: Literal["must", "may", "no"] = "no"

    def problem(self, check: Check) -> str:
        """Return what is wrong with the arguments of a check of this kind; "" if nothing is."""
        arguments = {**self.needs, **(RANGE if self.counts != "no" else {})}
        for name in check:
            if name not in arguments and name != "kind":
                fix = did_you_mean(str(name), arguments) if arguments else "it takes none"
                return f"has the unknown argument {name!r}; {fix}"
        for name in self.needs:
            if name not in check:
                return f"lacks {name!r}"
        for name in check.keys() & arguments.keys():
            if not TYPES[arguments[name]](check[name]):
                return f"has {check[name]!r} as {name!r}; {RIGHT[arguments[name]]} would be right"
        if self.counts == "must" and not check.keys() & RANGE.keys():
            return "has neither 'least' nor 'most'"
        if check.get("least", 0) > check.get("most", check.get("least", 0)):
            return f"has least {check['least']} and most {check['most']}"
        return ""


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_text, value))


TYPES: dict[str, Callable[[object], bool]] = {"count": _is_count, "text": _is_text, "texts": _are_texts}
RIGHT = {"count": "a whole number from 0 up", "text": "a text", "texts": "a list of texts"}
RANGE = {"least": "count", "most": "count"}


def _counted(number: int, check: Check) -> Sight:
    least, most = check.get("least", 0), check.get("most", number)
    return least <= number <= most, f"{number}"


def _words(text: str, check: Check) -> Sight:
    return _counted(len(WORD.findall(text)), check)


def _sentences(text: str, check: Check) -> Sight:
    ended = [line for line in one_per_line(text).split("\n") if any(map(str.isalpha, line))]  # "1." alone is none
    return _counted(len(ended), check)


def _paragraphs(text: str, check: Check) -> Sight:
    return _counted(sum(bool(WORD.search(part)) for part in re.split(r"\n\s*\n", text)), check)


def _parts(text: str, check: Check) -> Sight:
    return _counted(sum(bool(part.strip()) for part in text.split(check["separator"])), check)


def _contains(text: str, check: Check) -> Sight:
    limits = check if check.keys() & RANGE.keys() else {"least": 1}
    return _counted(len(occurrences(text, check["text"])), limits)


def _avoids(text: str, check: Check) -> Sight:
    present = [word for word in check["texts"] if occurrences(text, word)]
    return not present, ", ".join(present) or "none of them"


def occurrences(text: str, words: str) -> list[str]:
    """Return the occurrences of `words` in a text as whole words, in any case."""
    words, text = words.translate(APOSTROPHES), text.translate(APOSTROPHES)
    return re.findall(rf"(?<![^\W_]){re.escape(words)}(?![^\W_])", text, re.I)


def _cased(upper: bool) -> Callable[[str, Check], Sight]:
    def see(text: str, check: Check) -> Sight:
        other = [letter for letter in text if (letter.islower() if upper else letter.isupper())]
        letters = any(letter.isalpha() for letter in text)
        return letters and not other, f"{len(other)} letters of the other case" if letters else "no letter"

    return see


def _json(text: str, check: Check) -> Sight:
    fenced = FENCE.match(text.strip())
    try:
        value = parse_json(fenced[2] if fenced else text)
    except ValueError:
        return False, "no JSON"
    if not isinstance(value, dict):
        return False, "JSON, but no object"
    return value.keys() == set(check["keys"]), f"the keys {', '.join(map(str, value)) or 'none'}"


def _starts(text: str, check: Check) -> Sight:
    start, bare = check["text"], text.strip()
    begun, cut = bare[: len(start)], re.match(r"\w\w", bare[len(start) - 1 :])  # "Not" does not start "Nothing"
    return _plain(begun) == _plain(start) and not cut, begun


def _ends(text: str, check: Check) -> Sight:
    end, bare = check["text"], text.strip()
    ended, cut = bare[-len(end) :], re.search(r"\w\w\Z", bare[: len(bare) - len(end) + 1])
    return _plain(ended) == _plain(end) and not cut, ended


def _plain(text: str) -> str:
    return text.lower().translate(APOSTROPHES)


def _quoted(text: str, check: Check) -> Sight:
    bare = text.strip()
    in_quotes = len(bare) > 2 and any(bare.startswith(begin) and bare.endswith(end) for begin, end in QUOTES)
    return in_quotes, f"{bare[:1]} … {bare[-1:]}" if bare else "nothing"


def _tagged(text: str, check: Check) -> Sight:
    bare, tag = text.strip(), check["tag"]
    inside = re.fullmatch(rf"<{re.escape(tag)}>(.*)</{re.escape(tag)}>", bare, re.S)
    return bool(inside and inside[1].strip()), f"{bare[:12]} … {bare[-12:]}" if bare else "nothing"


def _no_commas(text: str, check: Check) -> Sight:
    return "," not in text, f"{text.count(',')} commas"


def _choice(text: str, check: Check) -> Sight:
    bare, options = _plain(text).strip(), [_plain(option).strip() for option in check["options"]]
    is_option = bare in options or bare.strip(AROUND).strip() in [option.strip(AROUND).strip() for option in options]
    return is_option and bool(bare), bare[:40] or "nothing"


def _postscript(text: str, check: Check) -> Sight:
    match = POSTSCRIPT.search(text)
    return bool(match and text[: match.start()].strip()), "one after a text" if match else "none"


def _lines_like(pattern: re.Pattern[str]) -> Callable[[str, Check], Sight]:
    return lambda text, check: _counted(len(pattern.findall(text)), check)


KINDS: dict[str, CheckKind] = {
    "words": CheckKind(_words, "words", counts="must"),
    "sentences": CheckKind(_sentences, "sentences", counts="must"),
    "paragraphs": CheckKind(_paragraphs, "paragraphs with an empty line between them", counts="must"),
    "bullets": CheckKind(_lines_like(BULLET), "bullet points", counts="must"),
    "numbered": CheckKind(_lines_like(NUMBERED), "numbered points", counts="must"),
    "parts": CheckKind(_parts, "parts with {separator} between them", {"separator": "text"}, counts="must"),
    "lower": CheckKind(_cased(upper=False), "all letters lower case"),
    "upper": CheckKind(_cased(upper=True), "all letters upper case"),
    "json": CheckKind(_json, "a JSON object with exactly the keys {keys}", {"keys": "texts"}),
    "contains": CheckKind(_contains, "“{text}”, as often as", {"text": "text"}, counts="may"),
    "avoids": CheckKind(_avoids, "none of the words {texts}", {"texts": "texts"}),
    "starts": CheckKind(_starts, "begins with “{text}”", {"text": "text"}),
    "ends": CheckKind(_ends, "ends with “{text}”", {"text": "text"}),
    "quoted": CheckKind(_quoted, "in double quotes as a whole"),
    "tagged": CheckKind(_tagged, "in the tag <{tag}> as a whole", {"tag": "text"}),
    "no_commas": CheckKind(_no_commas, "no commas"),
    "choice": CheckKind(_choice, "exactly one of {options} and nothing else", {"options": "texts"}),
    "postscript": CheckKind(_postscript, "a postscript (P.S.) after the text"),
}


def check_instructions(references: Sequence[str], text: str) -> tuple[Observation, ...]:
    """Check which of a row's instructions a text follows. Each reference is a check in JSON.

    An empty text, and one that repeats itself, follows none. Raises ValueError saying which check is wrong, and what
    would be right.
    """
    checks = [_read(number, reference) for number, reference in enumerate(references, 1)]
    return tuple(Observation(in_words(check), *_look(check, text)) for check in checks)


def _read(number: int, reference: str) -> Check:
    try:
        check = parse_json(reference)
    except ValueError:
        raise ValueError(f"check {number} is no JSON; a mapping with a 'kind' would be right") from None
    if not isinstance(check, dict) or not isinstance(kind := check.get("kind"), str):
        raise ValueError(f"check {number} is no mapping with a 'kind'")
    if kind not in KINDS:
        raise ValueError(f"check {number} has the unknown kind {kind!r}; {did_you_mean(kind, KINDS)}")
    if problem := KINDS[kind].problem(check):
        raise ValueError(f"check {number} ({kind}) {problem}")
    return check


def _look(check: Check, text: str) -> Sight:
    if not text.strip():
        return False, "nothing was written"
    return (False, "one thing over and over") if loops(text) else KINDS[check["kind"]].see(text, check)


def in_words(check: Check) -> str:
    """Return the description of a check."""
    kind, least, most = KINDS[check["kind"]], check.get("least"), check.get("most")
    arguments = {name: ", ".join(value) if isinstance(value, list) else value for name, value in check.items()}
    words = kind.words.format(**arguments)
    if kind.counts == "no":
        return words
    if least == most is not None:
        return f"{words}: exactly {least}"
    ends = [f"at least {least}"] * (least is not None) + [f"at most {most}"] * (most is not None)
    return f"{words}: {' and '.join(ends) or 'at least 1'}"
