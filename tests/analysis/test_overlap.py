"""What an index finds in rows: hand-made cases, and random texts against sets of words that know no hashes."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterable, Sequence

import pytest

from evalharness.analysis import overlap
from evalharness.analysis.overlap import FEW, LEAST, LEAST_WHOLE, RUN, SHARED, WORDING, Hit, Index, Item
from evalharness.analysis.overlap_words import own_texts, words_of
from evalharness.data.streams import TextRow

LONG = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"


def search(items: Sequence[Item], *rows: str | tuple[str, ...]) -> dict[int, Hit]:
    texts = [(row,) if isinstance(row, str) else row for row in rows]
    return Index(items).search([TextRow(of, f"row {i}") for i, of in enumerate(texts)])[0]


def item(*texts: str, form: str = "", answer: str = "", task: str = "t", index: int = 0) -> Item:
    return Item(task=task, index=index, texts=texts, forms=(form,) if form else (), answers=(answer,) if answer else ())


# ---- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The  film's GREAT!", ("the", "films", "great")),
        ("well-known ‘quotes’ — dash", ("wellknown", "quotes", "dash")),
        ("ﬁne Ｆｕｌｌ ①", ("fine", "full", "1")),
        ("cafe\u0301", ("café",)),
        ("zero\u200bwidth soft\u00adhyphen", ("zerowidth", "softhyphen")),
        ("日本語 text。", ("日", "本", "語", "text")),
        ("हिन्दी में", ("हिन्दी", "में")),
        ("5 + 3 = $8", ("5", "+", "3", "=", "$8")),
        ("... !?", ()),
        ("\ud800 half", ("\ud800", "half")),
    ],
)
def test_words(text: str, words: tuple[str, ...]) -> None:
    assert words_of(text) == words


def test_own_texts_are_what_the_row_brings() -> None:
    question = "Passage: The cat, it sat.\nQuestion: did the cat sit?\nAnswer:"
    assert own_texts(("the cat it sat", "Did the cat sit", "cat", "idx-7", ""), question) == (
        "the cat it sat",
        "Did the cat sit",
    )
    assert own_texts(("elsewhere",), question) == (question,)


# ---- what overlaps ---------------------------------------------------------------------------------------------------


def test_thirteen_words_in_a_row_overlap_and_twelve_do_not() -> None:
    words = LONG.split()
    assert search([item(LONG)], "before " + " ".join(words[1:14]) + " after") == {0: Hit(False, False, "row 0")}
    assert not search(
        [item(LONG)], "before " + " ".join(words[1:13]) + " after", " ".join(words[:6]), " ".join(words[6:])
    )
    assert search([item(LONG)], LONG.upper().replace(" ", ", ")) == {0: Hit(True, False, "row 0")}


def test_a_run_does_not_go_over_texts_or_rows() -> None:
    words = LONG.split()
    halves = " ".join(words[:7]), " ".join(words[7:])
    assert not search([item(LONG)], halves)
    assert not search([item(LONG)], *halves)


def test_a_shorter_question_is_found_where_all_of_it_stands() -> None:
    six, five = "a rather dull and lifeless comedy", "a dull and lifeless comedy"
    assert len(six.split()) == LEAST
    assert search([item(six)], f"Review: {six}. Opinion: negative") == {0: Hit(True, False, "row 0")}
    assert not search([item(six)], "a rather dull and lifeless", "a rather dull and lifeless sad comedy")
    assert not search([item(five)], f"Review: {five}. Opinion: negative")
    assert not search(
        [item(five, form=f"{five} Opinion:")], five
    )  # an alternative of another question may read like this
    assert search([item(five, form=f"{five} Opinion:")], ("Negative", f"{five}! OPINION")) == {
        0: Hit(True, False, "row 0")
    }
    assert not search([item("good", form="good film")], "good film")  # shorter than LEAST_WHOLE
    assert search([item("good film", form="Review: good film. Opinion:")], "review good film opinion")


def test_all_that_a_question_brings_must_stand_in_one_row() -> None:
    premise, claim = "the keys are on the table today", "they lie on the chair"
    both = [item(premise, claim)]
    assert search(both, (premise, "no", claim)) == {0: Hit(True, False, "row 0")}
    assert search(both, f"{premise}. Therefore {claim}?")
    assert not search(both, premise, claim, (premise, "they lie on the floor"))


@pytest.mark.parametrize(
    ("row", "seen"),
    [
        ((LONG, "yes"), True),
        ((f"{LONG}. Answer: Yes!",), True),
        ((LONG, "yes it is"), False),
        ((LONG, "1"), False),
        (("user", LONG, "no"), False),
    ],
)
def test_the_answer_counts_alone_or_at_the_end_of_a_text(row: tuple[str, ...], seen: bool) -> None:
    assert search([item(LONG, form=f"{LONG} yes or no, say yes", answer="yes")], row)[0].answer is seen


def test_an_answer_is_not_read_out_of_the_question_itself() -> None:
    question = f"{LONG}. Is it no or yes?"
    assert search([item(LONG, form=question, answer="yes")], question) == {0: Hit(True, False, "row 0")}
    assert search([item(LONG, form=question, answer="yes")], (question, " yes")) == {0: Hit(True, True, "row 0")}


def test_a_long_answer_counts_anywhere() -> None:
    summary = "they meet at four and go by train"
    assert search([item(LONG, answer=summary)], (LONG, f"In short, {summary}, says the text."))[0].answer


def test_the_first_row_that_holds_most_is_named() -> None:
    part = " ".join(LONG.split()[:13])
    assert search([item(LONG, answer="yes")], "nothing", part, LONG, (LONG, "yes")) == {0: Hit(True, True, "row 2")}


def test_repeated_words() -> None:
    assert search([item("ha " * 13)], "ha " * 14)
    assert not search([item("ha " * 13)], "ha " * 12)


# ---- what is the task's --------------------------------------------------------------------------------------------


def reviews(n: int) -> list[Item]:
    rng = random.Random(5)
    texts = [" ".join(f"w{rng.randrange(400)}" for _ in range(9)) for _ in range(n)]
    return [item(text, form=_asked(text), answer="positive", index=i) for i, text in enumerate(texts)]


def _asked(text: str) -> str:
    before, after = (
        "Read the following review of a film and say what you think of it.",
        "negative or positive?\nOpinion:",
    )
    return f"{before}\n{text}\nIs the reviewer's opinion {after}"


def test_other_rows_of_the_same_task_in_the_same_wording_are_no_overlap() -> None:
    items = reviews(120)
    others = [(_asked(" ".join(f"w{(i * 7 + j * 13) % 400}" for j in range(9))), " positive") for i in range(300)]
    assert not search(items, *others)
    found = search(items, *others, *((each.forms[0], " positive") for each in items[10:13]))
    assert found == {i: Hit(True, True, f"row {290 + i}") for i in (10, 11, 12)}


def test_wording_within_the_rows_own_text_does_not_count_either() -> None:
    """As BIG-bench has it: the task's words are in the column itself."""
    items = [item(f"{_asked(each.texts[0])}", index=i) for i, each in enumerate(reviews(120))]
    assert not search(items, *(_asked(f"some other text w{i} w{i + 1} here") for i in range(200)))
    assert set(search(items, items[3].texts[0])) == {3}


def test_a_text_of_most_questions_is_the_tasks() -> None:
    """An instruction that stands in a column, the same in every row, and a label that stands in every question."""
    items = [
        item(LONG, each.texts[0], "yes", form=f"{LONG} {each.texts[0]} no or yes?", index=i)
        for i, each in enumerate(reviews(20))
    ]
    assert not search(items, LONG)
    assert set(search(items, items[4].texts[1])) == {4}  # neither the instruction nor the label is asked for


def test_a_stock_phrase_of_three_texts_says_nothing_of_any() -> None:
    rng = random.Random(1)
    texts = [" ".join(f"x{rng.randrange(10_000)}" for _ in range(20)) for _ in range(100)]
    for i in range(3):
        texts[i] = f"{texts[i]} {LONG}"
    items = [item(text, index=i) for i, text in enumerate(texts)]
    assert not search(items, LONG)
    assert set(search(items[1:], LONG)) == {0, 1}


# ---- against sets of words -------------------------------------------------------------------------------------------


def brute(items: Sequence[Item], rows: Sequence[TextRow]) -> dict[int, tuple[bool, bool]]:
    """(whole, answer) of every item that overlaps, by definition: sets of tuples of words, no hashes, no index."""

    def runs(words: Sequence[str], n: int) -> set[tuple[str, ...]]:
        return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}

    def inside(needle: Sequence[str], hay: Sequence[str]) -> bool:
        return tuple(needle) in runs(hay, len(needle))

    found: dict[int, tuple[bool, bool]] = {}
    for task in {each.task for each in items}:
        own = {n: each for n, each in enumerate(items) if each.task == task}
        texts = {n: [words_of(text) for text in each.texts] for n, each in own.items()}
        forms = {n: [words_of(form) for form in each.forms] for n, each in own.items()}
        distinct = {text for of in texts.values() for text in of}
        constant = {t for t in distinct if sum(t in of for of in texts.values()) > max(FEW, len(own) / 2)}
        first = [forms[n][0] if forms[n] else words_of(" ".join(each.texts)) for n, each in own.items()]
        constant |= {
            t
            for t in distinct
            if len(t) < WORDING and sum(inside(t, asked) for asked in first) > max(FEW, len(own) / 2)
        }
        texts = {n: [t for t in of if t not in constant] for n, of in texts.items()}
        distinct = {t for of in texts.values() for t in of}
        limit = max(FEW, SHARED * len(distinct))
        shared = {g for t in distinct for g in runs(t, WORDING) if sum(g in runs(o, WORDING) for o in distinct) > limit}
        stock = {g for t in distinct for g in runs(t, RUN) if sum(g in runs(o, RUN) for o in distinct) > FEW}
        for n in own:
            telling = {g for t in texts[n] for g in runs(t, RUN) if g not in stock and not runs(g, WORDING) & shared}
            whole_forms = {t for t in forms[n] if len(t) >= LEAST_WHOLE}
            for row in rows:
                said = [words_of(text) for text in row.texts]
                run = any(telling & runs(t, RUN) for t in said)
                whole = any(t in whole_forms for t in said)
                whole |= sum(map(len, texts[n])) >= LEAST and all(any(inside(t, hay) for hay in said) for t in texts[n])
                if run or whole:
                    others = [t for t in said if t not in whole_forms and t not in texts[n]]
                    ends = [words_of(answer) for answer in own[n].answers]
                    answer = any(
                        t[-len(a) :] == a or (len(a) >= LEAST and inside(a, t)) for a in ends if a for t in others
                    )
                    before = found.get(n, (False, False))
                    found[n] = (before[0] or whole, before[1] or answer)
    return found


@pytest.mark.parametrize("seed", range(40))
def test_random_texts_as_sets_of_words_have_them(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(seed)
    monkeypatch.setattr(overlap, "BATCH", rng.choice([1, 50, 100_000]))
    letters = [f"{c}{rng.choice(['', '!', ','])}" for c in "abcdefgh"[: rng.choice([2, 4, 8])]]

    def text(most: int) -> str:
        return " ".join(rng.choice(letters) for _ in range(rng.randrange(most + 1)))

    pool = [text(20) for _ in range(rng.randrange(3, 15))]
    items = [
        Item(
            task=rng.choice("pq"),
            index=i,
            texts=tuple(rng.sample(pool, rng.randrange(0, 3))),
            forms=(f"{rng.choice(pool)} or {text(2)}",),
            answers=(text(7),),
        )
        for i in range(rng.randrange(1, 16))
    ]
    pieces = [
        *pool,
        *(form for each in items for form in each.forms),
        *(answer for each in items for answer in each.answers),
    ]

    def mixed() -> str:
        return " ".join(rng.choice([rng.choice(pieces), text(6), "zz"]) for _ in range(rng.randrange(3)))

    rows = [
        TextRow(tuple(rng.choice([rng.choice(pieces), mixed()]) for _ in range(rng.randrange(4))), str(i))
        for i in range(30)
    ]
    found, seen = Index(items).search(rows)
    assert seen == len(rows)
    assert {n: (hit.whole, hit.answer) for n, hit in found.items()} == brute(items, rows)


def test_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(f"row {i}", *((LONG,) if i == 40 else ())) for i in range(100)]
    whole = search([item(LONG)], *rows)
    monkeypatch.setattr(overlap, "BATCH", 3)
    assert search([item(LONG)], *rows) == whole == {0: Hit(True, False, "row 40")}


def test_nothing_to_look_at() -> None:
    assert Index([]).search([TextRow(("a b c",), "x")]) == ({}, 1)
    assert Index([item(LONG)]).search([TextRow((), "x"), TextRow(("?",), "y")]) == ({}, 2)


def test_memory_does_not_grow_with_the_rows() -> None:
    def rows(n: int) -> Iterable[TextRow]:
        return (
            TextRow((f"row {i} of a corpus with words that nobody asks for {i * 7} {i * 11}", "and an answer"), str(i))
            for i in range(n)
        )

    def peak(n: int) -> int:
        tracemalloc.start()
        assert Index(reviews(50)).search(rows(n))[1] == n
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    assert peak(30_000) < 1.2 * peak(8_000) < 80e6
