"""Find the questions of an evaluation in a candidate's training rows.

After Brown et al. 2020 (arXiv 2005.14165, appendix C): words are separated by white space once case and punctuation are
gone, and a run of 13 words that both texts contain is an overlap. Three things differ, each for a reason:

* Only the texts of a question's own row are searched for, not the wording that the task puts around them: candidates
  are fine-tuned on rows of the same tasks, all of which have that wording.
* A run of words counts as the task's wording, too, if 4 consecutive words in it are shared by more than a tenth of the
  task's texts. A run that more than 2 of the task's texts share tells nothing about any of them.
* A question of fewer than 13 words is found if all its row's texts are in one training row, unchanged, with 6 words or
  more; or if the question, as the task renders it, is the whole of a text, with 3 words or more.

The evaluation is indexed and the training rows are streamed, so memory does not grow with their number.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalharness.analysis.overlap_words import (
    Hashes,
    RunTable,
    Words,
    between,
    count_hashes,
    spaced,
    sums_of,
    windows,
    words_of,
)
from evalharness.data.streams import TextRow

RUN = 13  # words in a row that make an overlap
LEAST = 6  # words of a shorter question that has to stand in a row as it is
LEAST_WHOLE = 3  # words of a rendered question that has to be the whole of a text
WORDING = 4  # words of which a task's wording is made
SHARED = 0.1  # of a task's distinct texts: what more of them share is wording
CONSTANT = 0.5  # of a task's questions: a text that more of them hold is wording
FEW = 2  # what no more texts than this share is not wording
SAMPLE = 200  # questions that are asked whether they hold a text
BATCH = 100_000  # words of training rows looked at together

METHOD = {
    "run": RUN,
    "least": LEAST,
    "least_whole": LEAST_WHOLE,
    "wording": WORDING,
    "shared": SHARED,
    "constant": CONSTANT,
    "version": 1,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One evaluated question, to be searched for in training rows.

    `task`, `index`: which row of which task it is. `texts`: the texts of its own row in it, without the task's wording.
    `forms`: the whole question, rendered without shots. `answers`: the right ones.
    """

    task: str
    index: int  # of its row
    texts: tuple[str, ...]
    forms: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hit:
    """A question that was found in a training row.

    `whole`: True: one row holds all of it; False: a run of its words. `answer`: the row holds its answer, too. `place`:
    which row.
    """

    whole: bool
    answer: bool
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOverlap:
    """The overlap of one candidate's training rows with the tasks.

    `sources`: kind, name, digest and number of rows of each source that was searched. `hits`: for each task the hit by
    index of the row. `notices`: what was not searched, or not surely, and why.
    """

    sources: tuple[Mapping[str, Any], ...] = ()
    hits: Mapping[str, Mapping[int, Hit]] = field(default_factory=dict)
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """An item prepared for the search, its texts as `spaced` writes them.

    `texts`: those of its own row, without the task's wording. `forms`: the whole question. `answers`: the right ones.
    `long`: the texts have enough words to be looked for as they are.
    """

    texts: tuple[str, ...]
    forms: frozenset[str]
    answers: tuple[str, ...]
    long: bool  # are there words enough to look for the texts as they are

    def within(self, row: Sequence[str]) -> bool:
        return any(text in self.forms for text in row) or (
            self.long and all(any(own in text for text in row) for own in self.texts)
        )

    def answered(self, row: Sequence[str]) -> bool:
        """Return whether a text of the row other than the question gives the answer: at the text's end, or anywhere if
        the answer has LEAST words or more.
        """
        others = [text for text in row if text not in self.forms and text not in self.texts]
        return any(
            text.endswith(answer) or (answer.count(" ") > LEAST and answer in text)
            for answer in self.answers
            for text in others
        )


class Index:
    """An index of an evaluation's questions, to find them in rows. It takes 16 bytes for each run of words, and the
    words of the questions.
    """

    def __init__(self, items: Sequence[Item]) -> None:
        self.items = tuple(items)
        self._numbers: dict[str, int] = {}  # of the questions' words; any other word ends a run
        runs, keys = list[tuple[Hashes, int]](), dict[int, list[tuple[Hashes, int]]]()
        tasks: dict[str, list[int]] = {}
        for number, item in enumerate(self.items):
            tasks.setdefault(item.task, []).append(number)
        entries: dict[int, _Entry] = {}
        for numbers in tasks.values():
            texts = _without_constants([self.items[number] for number in numbers])
            coded = {words: self._coded(words) for of in texts for words in of}
            wording, often = (
                _wording(list(coded.values())),
                count_hashes([np.unique(windows(codes, RUN)) for codes in coded.values()]),
            )
            for number, of in zip(numbers, texts, strict=True):
                entries[number] = _entry(self.items[number], of)
                runs += [(telling, number) for words in of if len(telling := _telling(coded[words], wording, often))]
                if entries[number].long:
                    key = _rarest(coded[max(of, key=len)], often)
                    keys.setdefault(min(max(map(len, of)), RUN), []).append((key, number))
        self._entries = tuple(entries[number] for number in range(len(self.items)))
        self._tables = [
            (RUN, True, RunTable.of(runs)),
            *((length, False, RunTable.of(keys[length])) for length in sorted(keys)),
        ]
        self._forms: dict[str, list[int]] = {}
        for number, entry in enumerate(self._entries):
            for form in entry.forms:
                self._forms.setdefault(form, []).append(number)

    def _coded(self, words: Words) -> Hashes:
        for word in words:
            if word not in self._numbers:
                digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
                self._numbers[word] = int.from_bytes(digest, "big") | 1  # 0 is every other word
        return np.array([self._numbers[word] for word in words], dtype=np.uint64)

    def search(self, rows: Iterable[TextRow]) -> tuple[dict[int, Hit], int]:
        """Find the items (by number) that `rows` hold, and count the rows. Raises what reading the rows raises."""
        hits, count = dict[int, Hit](), 0
        for batch in _batches(rows):
            count += len(batch)
            self._look(batch, hits)
        return hits, count

    def _look(self, batch: Sequence[tuple[str, tuple[Words, ...]]], hits: dict[int, Hit]) -> None:
        """Search one batch of rows, each with its place: find which may hold which item, then check these."""
        texts = [words for _, of in batch for words in of]
        if not texts:
            return
        row_of_text = np.repeat(np.arange(len(batch)), [len(of) for _, of in batch])
        codes = np.array([self._numbers.get(word, 0) for words in texts for word in words], dtype=np.uint64)
        text_of = np.repeat(np.arange(len(texts)), [len(words) for words in texts])
        sums, unknown = sums_of(codes), np.concatenate([[0], np.cumsum(codes == 0)])
        telling, looks = set[tuple[int, int]](), set[tuple[int, int]]()
        for length, decides, table in self._tables:
            starts = np.arange(max(0, len(codes) - length + 1))
            starts = starts[
                (unknown[starts + length] == unknown[starts]) & (text_of[starts] == text_of[starts + length - 1])
            ]
            (telling if decides else looks).update(
                table.pairs(between(sums, starts, length), row_of_text[text_of[starts]])
            )
        for words, row in zip(texts, row_of_text.tolist(), strict=True):
            if len(words) >= LEAST_WHOLE:
                looks.update((row, number) for number in self._forms.get(spaced(words), ()))
        for row, number in sorted(telling | looks):
            self._judge(number, batch[row], (row, number) in telling, hits)

    def _judge(self, number: int, row: tuple[str, tuple[Words, ...]], run: bool, hits: dict[int, Hit]) -> None:
        """Check one row that may hold one item. If it does, keep the hit of the row that holds the most of the item,
        the first of equals.
        """
        before, entry = hits.get(number), self._entries[number]
        if before is not None and before.whole and before.answer:
            return
        texts = [spaced(words) for words in row[1]]
        whole = entry.within(texts)
        if whole or run:
            hit = Hit(whole, entry.answered(texts), row[0])
            hits[number] = hit if before is None else merge_hits(before, hit)


def merge_hits(one: Hit, other: Hit) -> Hit:
    """Combine two hits of one item, in two rows or sources."""
    return replace(other if other.whole and not one.whole else one, answer=one.answer or other.answer)


def _entry(item: Item, texts: Sequence[Words]) -> _Entry:
    forms = frozenset(spaced(words) for form in item.forms if len(words := words_of(form)) >= LEAST_WHOLE)
    answers = tuple(spaced(words) for answer in item.answers if (words := words_of(answer)))
    return _Entry(texts=tuple(map(spaced, texts)), forms=forms, answers=answers, long=sum(map(len, texts)) >= LEAST)


def _without_constants(items: Sequence[Item]) -> list[tuple[Words, ...]]:
    """Return each item's own texts, as words, without texts that most of the task's questions contain."""
    texts = [tuple(words for text in item.texts if (words := words_of(text))) for item in items]
    counts = Counter(words for of in texts for words in set(of))
    sample = [spaced(words_of(item.forms[0] if item.forms else " ".join(item.texts))) for item in items[:SAMPLE]]
    constant = {words for words, count in counts.items() if count > max(FEW, CONSTANT * len(items))}
    for words in counts:
        if len(words) < WORDING and sum(spaced(words) in question for question in sample) > max(
            FEW, CONSTANT * len(sample)
        ):
            constant.add(words)
    return [tuple(words for words in of if words not in constant) for of in texts]


def _wording(texts: Sequence[Hashes]) -> Hashes:
    """Return the runs of WORDING words that more than the share SHARED of a task's distinct texts contain: its
    wording.
    """
    runs, counts = count_hashes([np.unique(windows(codes, WORDING)) for codes in texts])
    return runs[counts > max(FEW, SHARED * len(texts))]


def _telling(codes: Hashes, wording: Hashes, often: tuple[Hashes, NDArray[np.int64]]) -> Hashes:
    """Return the runs of RUN words that hold no wording and that at most FEW texts share."""
    runs = windows(codes, RUN)
    if not len(runs):
        return runs
    spoilt = np.concatenate([[0], np.cumsum(np.isin(windows(codes, WORDING), wording))])
    starts = np.arange(len(runs))
    plain: NDArray[np.bool_] = spoilt[starts + RUN - WORDING + 1] == spoilt[starts]
    rare: NDArray[np.bool_] = often[1][np.searchsorted(often[0], runs)] <= FEW
    return runs[plain & rare]


def _rarest(codes: Hashes, often: tuple[Hashes, NDArray[np.int64]]) -> Hashes:
    """Return the run of a text that the fewest texts share; it finds the rows that may hold the text. For a short text:
    all runs.
    """
    runs = windows(codes, min(len(codes), RUN))
    if len(runs) < 2:
        return runs
    place = int(np.argmin(often[1][np.searchsorted(often[0], runs)]))
    return runs[place : place + 1]


def _batches(rows: Iterable[TextRow]) -> Iterator[list[tuple[str, tuple[Words, ...]]]]:
    batch, size = list[tuple[str, tuple[Words, ...]]](), 0
    for row in rows:
        texts = tuple(words for text in row.texts if (words := words_of(text)))
        batch.append((row.place, texts))
        size += sum(map(len, texts))
        if size >= BATCH or len(batch) >= BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
