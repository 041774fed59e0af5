"""Split a text into sentences by rules that need no download.

`VERSION` is in the signature of every score that depends on them.
"""

from __future__ import annotations

import re

VERSION = 1

# An end: . ! or ?, closing quotes or brackets, white space, and then something that can begin a sentence.
END = re.compile(r"""[.!?]+["'”’)\]]*\s+(?=["'“‘(\[]*[A-Z0-9ÀÖØ-Þ#])""")

# Words whose full stop ends no sentence (lower case, without the stop).
ABBREVIATIONS = frozenset("mr mrs ms dr prof sr jr st capt sgt lt sen gov rev hon vs etc e.g i.e approx vol".split())

INITIALS = re.compile(r"(?:[A-Z]\.)*[A-Z]")


def one_per_line(text: str) -> str:
    """Return the text with each sentence on its own line. Its own newlines also end sentences; empty lines are
    dropped.
    """
    return "\n".join(sentence for line in text.split("\n") for sentence in _sentences(line))


def _sentences(line: str) -> list[str]:
    sentences, start = [], 0
    for end in END.finditer(line):
        if not _abbreviated(line[start : end.start() + 1]):
            sentences.append(line[start : end.end()].strip())
            start = end.end()
    return [*filter(None, (*sentences, line[start:].strip()))]


def _abbreviated(sentence: str) -> bool:
    """Return whether the text ends in an abbreviation or an initial ("Dr.", "J.", "U.S.")."""
    if not sentence.endswith("."):
        return False
    words = sentence[:-1].rsplit(None, 1)
    word = words[-1].lstrip("\"'“‘([") if words else ""
    return word.lower() in ABBREVIATIONS or (word != "I" and INITIALS.fullmatch(word) is not None)
