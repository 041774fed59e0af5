"""Put the flags of a row into words, and say what each of them means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from evalharness.records.comparison import Flag

FLAGS: Final[Mapping[str, tuple[str, str]]] = {  # flag: (short words, what it means)
    Flag.FORGOTTEN_UNADJUSTED: (
        "forgotten before correction",
        "the task alone would count as forgotten, "
        "but not after Holm's correction for the number of gate units looked at",
    ),
    Flag.DROP_DETECTED: (
        "real drop",
        "the whole interval lies below zero: there is a loss, whether or not it is larger than the margin",
    ),
    Flag.IMPROVED: ("improved", "the whole interval lies above zero"),
    Flag.BASE_AT_CHANCE: (
        "base at chance",
        "the base itself does no better than guessing, so there was nothing to forget; "
        "never more than inconclusive, and outside “all retained”",
    ),
    Flag.MARGIN_EXCEEDS_SKILL: (
        "margin exceeds skill",
        "the margin is more than 20 % of what the base scores over chance, "
        "so a fall within it could be a large loss; never retained",
    ),
    Flag.INCOMPLETE: (
        "examples missing",
        "some examples got no answer from one of the two models and are left out; nothing may pass the gate on this",
    ),
    Flag.FEW_CHANGES: (
        "few changes",
        "so few answers changed that an exact or stricter test decided in place of the usual one",
    ),
    Flag.TRUNCATED: (
        "prompts cut",
        "some prompts were longer than the window and were cut: shots first, then the end of the document",
    ),
    Flag.PROMPTS_DIFFER: (
        "asked differently",
        "base and candidate were asked the same questions in different prompts, "
        "each in its own form, because that was allowed",
    ),
    Flag.STOPPED_EARLY: (
        "stopped early",
        "asked in rounds and no longer once it was certain; "
        "the verdict, its interval and its p-values hold at whatever round one stops, "
        "other numbers describe only what was asked",
    ),
    Flag.SUITE_NOT_TESTED: (
        "suite not tested",
        "a gate unit was stopped before the suite was decided (at these margins), "
        "so it was not asked to its end; its value is of what was asked",
    ),
    Flag.REPEATED_PROMPTS: (
        "repeated prompts",
        "some rows ask what another row asks, with the same choices and the same answer; they are one unit of the "
        "statistics, and the score is over all rows",
    ),
    Flag.CONSTANT_ANSWER: (
        "one answer to all",
        "base or candidate gives the same answer to nine of ten rows or more, whatever is asked; "
        "where the base does, the task cannot show what it knew",
    ),
    Flag.EMPTY_ANSWERS: ("empty answers", "base or candidate writes nothing in a tenth of the rows or more"),
    Flag.CUT_OFF: (
        "answers cut off",
        "a tenth or more of the texts of base or candidate end only because they are as long as they may be",
    ),
    Flag.UNPARSED: ("answers unreadable", "from some generations no answer could be read; they count as wrong"),
}

QUIET: Final = {Flag.FEW_CHANGES}  # how it was tested, not what it means: left to the table of all comparisons


def flag_words(flag: str) -> tuple[str, str]:
    """Short words and explanation of a flag; a flag this version does not know is shown by its own name."""
    return FLAGS.get(flag, (flag.replace("_", " "), "not explained by this version of evalharness"))
