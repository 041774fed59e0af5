"""The lists of substitutes for words of another dialect and for first names, and a reader for a user's own list.

A list maps words to their substitutes, as HELM's file of its dialect does: {"with": ["wit"], …}.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from evalharness.errors import DataError
from evalharness.json_text import parse_json

Substitutes = Mapping[str, tuple[str, ...]]
FORM = 'words with lists of substitutes would be right: {"with": ["wit"]}'

# Standard American English to African American English: sixteen words of the list of Ziems et al. 2022 (VALUE, arXiv
# 2204.03031), from HELM's sources (its first version of the perturbation, and its test). Slurs are left out.
DIALECT: Substitutes = {
    "anymore": ("nomore", "nomo"),
    "arguing": ("beefing", "beefin", "arguin"),
    "be": ("b",),
    "brother": ("homeboy",),
    "classy": ("fly",),
    "huge": ("bigass",),
    "my": ("mah",),
    "probably": ("prob", "prolly", "probly", "def", "deff"),
    "rad": ("dope",),
    "remember": ("rememba",),
    "screaming": ("yellin", "hollering"),
    "sister": ("sista", "sis"),
    "these": ("dese", "dem"),
    "this": ("dis",),
    "will": ("gon",),
    "with": ("wit",),
}

# First names of two groups, as used by Caliskan et al. 2017 (arXiv 1608.07187, supplement), from Greenwald et al. 1998
_MEN = (
    *("Adam", "Harry", "Josh", "Roger", "Alan", "Frank", "Justin", "Ryan", "Andrew", "Jack", "Matthew", "Stephen"),
    *("Brad", "Greg", "Paul", "Jonathan", "Peter"),
)
_WOMEN = (
    *("Amanda", "Courtney", "Heather", "Melanie", "Katie", "Betsy", "Kristin", "Nancy", "Stephanie"),
    *("Ellen", "Lauren", "Colleen", "Emily", "Megan", "Rachel"),
)
_OTHER_MEN = (
    *("Alonzo", "Jamel", "Theo", "Alphonse", "Jerome", "Leroy", "Torrance", "Darnell", "Lamar", "Lionel", "Tyree"),
    *("Deion", "Lamont", "Malik", "Terrence", "Tyrone", "Lavon", "Marcellus", "Wardell"),
)
_OTHER_WOMEN = (
    *("Nichelle", "Shereen", "Ebony", "Latisha", "Shaniqua", "Jasmine", "Tanisha", "Tia", "Lakisha", "Latoya"),
    *("Yolanda", "Malika", "Yvette"),
)
NAMES: Substitutes = dict.fromkeys(_MEN, _OTHER_MEN) | dict.fromkeys(_WOMEN, _OTHER_WOMEN)

LISTS: Mapping[str, Substitutes] = {"dialect": DIALECT, "names": NAMES}  # by disturbance


def read_list(path: Path) -> Substitutes:
    """Read a user's list. Raises DataError for any other file."""
    try:
        content = parse_json(path.read_bytes())
    except OSError as error:
        raise DataError(path, f"cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise DataError(path, f"not JSON ({error})", FORM) from error
    if not isinstance(content, dict) or not content:
        raise DataError(path, "no list of words", FORM)
    for word, others in content.items():
        texts = others if isinstance(others, list) else [None]
        if not word.strip() or not texts or not all(isinstance(each, str) and each.strip() for each in texts):
            raise DataError(path, f"{word!r} has no substitutes", FORM)
    return {word: tuple(others) for word, others in content.items()}
