"""Explain the flags of a row: a short name, the meaning, and what to do about each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from evalharness.records.comparison import Comparison, Flag
from evalharness.stats.enums import Verdict


class FlagWords(NamedTuple):
    """One flag in words. `words`: its name in a table. `meaning`: its entry in the glossary. `action`: what to do about
    it.
    """

    words: str
    meaning: str
    action: str


FLAGS: Final[Mapping[str, FlagWords]] = {  # docs/results.md has them as a table: docs/make_flags_table.py
    Flag.SUSPECT: FlagWords(
        "suspect",
        "the unadjusted p_forgotten is at most α and at most 0.75 divided by the number of gate units, so that chance "
        "alone makes less than one suspect (an engine's noise takes no suspicion away); never of fewer than 10 rows; "
        "the gate does not pass on it",
        "read the answers that changed; ask this unit again with more examples, or repair it and compare again",
    ),
    Flag.DROP_DETECTED: FlagWords(
        "real drop",
        "the whole interval lies below zero, and the verdict is not “forgotten”: there is a loss, whether or not it is "
        "larger than the margin",
        "if a loss of this size matters to you, give the next run a smaller margin",
    ),
    Flag.IMPROVED: FlagWords(
        "improved",
        "the whole interval lies above zero",
        "nothing; where the candidate was not trained on the task, look whether it saw its questions in training "
        "(--train-data)",
    ),
    Flag.BASE_AT_CHANCE: FlagWords(
        "base at chance",
        "the base is not shown to do better than guessing: never retained; a fall from there can be forgotten",
        "read nothing into it that was kept: take a task that the base can do, or more examples",
    ),
    Flag.MARGIN_EXCEEDS_SKILL: FlagWords(
        "margin exceeds skill",
        "the margin is more than 20 % of what the base scores over chance (of a suite: on average over its units), so "
        "a fall within it could be a large loss; never retained",
        "a smaller margin with more examples, or tasks that the base does better",
    ),
    Flag.NO_RANGE: FlagWords(
        "no range",
        "the metric states no finite range: a loss can be shown, never excluded; never retained",
        "state the ends of the metric, where it has them (compare --metric NAME:low=0,high=2), or decide by another",
    ),
    Flag.CHANCE_UNKNOWN: FlagWords(
        "chance unknown",
        "of some units it is not known what guessing scores, so they show no skill, and all units together too little "
        "for the suite to be retained",
        "state it (compare --metric NAME:chance=0.25, or chance in the task file), or give tasks of which it is known",
    ),
    Flag.NO_TARGET: FlagWords(
        "no target",
        "no task is declared as what the candidate was trained for, so every gate unit counts in the suite, and a gain "
        "there speaks for it",
        "name it (--target TASK), or say that there is none (--target none): the gate passes no candidate without it",
    ),
    Flag.INCOMPLETE: FlagWords(
        "examples missing",
        "some examples got no answer from one of the two models and are left out of both; nothing may pass the gate on "
        "this",
        "read why under “errors”, then give the same command again: what was answered is kept",
    ),
    Flag.TRUNCATED: FlagWords(
        "prompts cut",
        "some prompts were longer than the window and were cut, for both models alike: shots first, then the end of "
        "the document",
        "fewer shots, or models with a longer window; nothing where the cut ends do not matter",
    ),
    Flag.UNPARSED: FlagWords(
        "answers unreadable",
        "from some generations of either model no answer could be read; they count as wrong",
        "read them in samples/; --explain tells a lost format of answers from lost knowledge",
    ),
    Flag.PROMPTS_DIFFER: FlagWords(
        "asked differently",
        "base and candidate were asked the same questions in different prompts, each in its own form, because that was "
        "allowed",
        "read the difference as that of model and prompt together, or ask both alike",
    ),
    Flag.DECODED_DIFFERENTLY: FlagWords(
        "decoded differently",
        "answers of base and candidate were written by the rules of two generation configs, which differ, because each "
        "was to be decoded by its own",
        "read the difference as that of model and rules together, or decode both alike (--generation-config base)",
    ),
    Flag.REPEATED_PROMPTS: FlagWords(
        "repeated prompts",
        "some rows ask what another row asks, with the same choices and the same answer; they are one unit of the "
        "statistics, and the score is over all rows",
        "nothing, or take the copies out of the rows",
    ),
    Flag.CONSTANT_ANSWER: FlagWords(
        "one answer to all",
        "base or candidate gives the same answer to nine of ten rows or more, whatever is asked; "
        "where the base does, the task cannot show what it knew",
        "of the base: ask the task in another way (another wording, the written form), or leave it out; of the "
        "candidate: --explain, and read the answers",
    ),
    Flag.EMPTY_ANSWERS: FlagWords(
        "empty answers",
        "base or candidate writes nothing in a tenth of the rows or more",
        "look at the prompt's end and the chat template: a model may end its turn at once",
    ),
    Flag.CUT_OFF: FlagWords(
        "answers cut off",
        "a tenth or more of the texts of base or candidate end only because they are as long as they may be",
        "a larger limit in the task's generation_kwargs, or a stop string that the model writes",
    ),
    Flag.MIXED_ENGINES: FlagWords(
        "other engine",
        "the base was answered by another engine than the candidate, because that was allowed: part of the difference "
        "may be theirs",
        "measure how far the two are apart (`evalharness engine check A B`), or answer both by one",
    ),
    Flag.ENGINE_NOISE: FlagWords(
        "engine noise",
        "the base, answered once more through an adapter that changes nothing, does not answer alike: the tests at the "
        "margin and the interval are widened on either side by as much as that may move the score",
        "an engine that answers alike (--strict, one batch size), or a larger margin: a smaller one than the noise is "
        "never retained",
    ),
    Flag.STOPPED_EARLY: FlagWords(
        "stopped early",
        "asked in rounds and no longer once it was certain; the verdict, its interval and its p-values hold at "
        "whatever round one stops, other numbers describe only what was asked",
        "nothing; without --until-decided every example is asked",
    ),
    Flag.SUITE_NOT_TESTED: FlagWords(
        "suite not tested",
        "a gate unit was stopped before the suite was decided (at these margins), so it was not asked to its end; its "
        "value is of what was asked",
        "run again without --until-decided, or judge at the margins that the run had",
    ),
}


def flag_words(flag: str) -> FlagWords:
    """Return the words of a flag. A flag that this version does not know is shown by its own name."""
    unknown = FlagWords(flag.replace("_", " "), "not explained by this version of evalharness", "")
    return FLAGS.get(flag, unknown)


def shown_flags(c: Comparison) -> list[str]:
    """Return the flags to show beside a verdict: all but "suspect" on a forgotten row."""
    return [flag for flag in c.flags if (flag, c.verdict) != (Flag.SUSPECT, Verdict.FORGOTTEN)]
