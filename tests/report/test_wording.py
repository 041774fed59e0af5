"""Words and numbers as a reader sees them."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

import pytest
from measured_runs import one

from evalharness.analysis.number_text import coverage
from evalharness.records.comparison import Estimate
from evalharness.report import flags, wording


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain", "plain"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\r\nended", "\nended"),
        ("\x1b[31mred\x1b[0m", "⟨U+001B⟩[31mred⟨U+001B⟩[0m"),
        ("\x00\x07\x7f", "⟨U+0000⟩⟨U+0007⟩⟨U+007F⟩"),
        ("txt.\u202eexe", "txt.⟨U+202E⟩exe"),
        ("zero\u200bwidth\ufeff", "zero⟨U+200B⟩width⟨U+FEFF⟩"),
        ("a\u2028b\u2029c", "a⟨U+2028⟩b⟨U+2029⟩c"),
        ("\ud800", "⟨U+D800⟩"),
        ("\U000e0041hidden", "⟨U+E0041⟩hidden"),
        ("می\u200cخواهم 👩\u200d🚀 日本", "می\u200cخواهم 👩\u200d🚀 日本"),
    ],
)
def test_what_cannot_be_seen_is_shown(raw: str, shown: str) -> None:
    assert wording.visible(raw) == shown


def test_every_code_point_becomes_something_that_can_be_written() -> None:
    everything = (
        "".join(map(chr, range(0x3000)))
        + "".join(chr(code) for code in range(0xD7F0, 0x11000))
        + "".join(map(chr, range(0xE0000, 0xE0200)))
    )
    shown = wording.visible(everything)
    shown.encode("utf-8")
    left = {
        character
        for character in shown
        if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp")
    }
    assert left == {"\n", "\t", "\u200c", "\u200d"}


def test_one_line_keeps_both_ends() -> None:
    assert wording.one_line("a\nb\tc") == "a↵b⇥c"
    short = wording.one_line("x" * 50 + "END", 20)
    assert len(short) == 20 and short.startswith("xxx") and short.endswith("xxEND") and "…" in short


def test_shortened_says_how_much_is_missing() -> None:
    assert wording.shortened("short", 10) == "short"
    text = wording.shortened("a" * 500 + "b" * 1500, 300)
    assert text.startswith("a" * 100) and text.endswith("b" * 200) and "1,700 characters left out" in text


@pytest.mark.parametrize(
    ("value", "places", "plain", "signed"),
    [
        (0.5, 3, "0.500", "+0.500"),
        (-0.58, 2, "−0.58", "−0.58"),
        (0.0, 3, "0.000", "0.000"),
        (-0.0001, 3, "0.000", "0.000"),
        (12.34, 1, "12.3", "+12.3"),
    ],
)
def test_numbers(value: float, places: int, plain: str, signed: str) -> None:
    assert (wording.plain(value, places), wording.signed(value, places)) == (plain, signed)


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_no_number_is_a_dash(value: float | None) -> None:
    assert {
        wording.plain(value),
        wording.signed(value),
        wording.p_value(value),
        wording.percent(value),
        wording.signed_percent(value),
    } == {"–"}


def test_intervals_shares_sizes_and_times() -> None:
    assert wording.interval(Estimate(value=0.1, low=-0.02, high=0.22), 2) == "[−0.02, +0.22]"
    assert wording.interval(Estimate(value=0.1)) == ""
    assert [wording.percent(share) for share in (1.0, 0.026, 0.0000125)] == ["100.00 %", "2.60 %", "0.0013 %"]
    assert [wording.in_bytes(n) for n in (0, 999, 301_224, 11_352_004, 2.5e9)] == [
        "0 B",
        "999 B",
        "301 kB",
        "11.4 MB",
        "2.5 GB",
    ]
    assert [wording.in_seconds(s) for s in (0.25, 59.94, 74.2, 7384)] == [
        "0.25 s",
        "59.9 s",
        "1 min 14 s",
        "2 h 03 min",
    ]
    assert [wording.p_value(p) for p in (0.0004, 0.05, 1.0)] == ["<0.001", "0.050", "1.000"]


def test_scores_of_0_to_100_get_fewer_decimals() -> None:
    assert wording.places_for([0.3, None, 1.0]) == 3
    assert wording.places_for([31.4, 0.2]) == 1


@pytest.mark.parametrize(
    ("places", "ends", "shown"),
    [
        (1, (-0.04, 0.02), 3),  # 0.0 [0.0, 0.0] would say that nothing can have changed
        (3, (-0.015, 0.015), 3),
        (2, (-0.0004, 0.0004), 5),
        (3, (0.0, 0.0), 3),
        (3, (None, None), 3),
        (3, (0.0, 1e-300), 9),
    ],
)
def test_an_interval_narrower_than_the_last_decimal_gets_more(
    places: int, ends: tuple[float | None, float | None], shown: int
) -> None:
    assert wording.finer(places, [Estimate(value=0.0, low=ends[0], high=ends[1]), None]) == shown


def test_a_comparison_is_shown_as_finely_as_its_interval() -> None:
    row = replace(one(400, 210), base=Estimate(value=31.0), candidate_score=Estimate(value=31.01))
    shown = wording.change_of(replace(row, difference=Estimate(value=0.01, low=-0.02, high=0.04)))
    assert (shown.difference, shown.interval) == ("+0.010", "[−0.020, +0.040]")
    narrow = Estimate(value=0.0, low=-0.0004, high=0.0003)
    suite = replace(row, metric="margins", base=None, candidate_score=None, difference=narrow)
    assert wording.change_of(suite).interval == "[−0.00040, +0.00030]"


@pytest.mark.parametrize(
    ("alpha", "words"), [(0.05, "90 %"), (0.005, "99 %"), (1e-9, "99.9999998 %"), (1e-15, "99.9999999999998 %")]
)
def test_no_interval_covers_all(alpha: float, words: str) -> None:
    assert coverage(1 - 2 * alpha) == words


def test_a_flag_of_a_later_version_is_still_shown() -> None:
    assert flags.flag_words("seen_in_training")[0] == "seen in training"


def test_no_estimate_is_a_dash() -> None:
    assert wording.with_interval(None) == "–" and wording.interval(None) == wording.direction(None) == ""
    shown = wording.score_change(None, None, Estimate(value=-3.2, low=-4.0, high=-1.0))
    assert shown == wording.ScoreChange(base="–", candidate="–", difference="−3.2", interval="[−4.0, −1.0]")
    assert wording.score_change(None, None, None) == wording.ScoreChange(
        base="–", candidate="–", difference="–", interval=""
    )
