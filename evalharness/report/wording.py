"""Format verdicts, numbers and names as text, and make invisible characters of model text visible."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from evalharness.analysis.metric_unit import MetricUnit, metric_unit
from evalharness.analysis.number_text import MINUS as MINUS
from evalharness.analysis.number_text import NONE as NONE
from evalharness.analysis.number_text import coverage as coverage
from evalharness.analysis.number_text import plain as plain
from evalharness.analysis.number_text import signed as signed
from evalharness.records.comparison import MARGINS, Comparison, Estimate, Flag, MeanDifference, value_of
from evalharness.records.models import ModelKind
from evalharness.stats.enums import Verdict

NO_TARGET = "no target is declared, so every gate unit counts"
IN_MARGINS = 2  # decimals of a difference in margins
MOST_PLACES = 9
LONGEST_NAME = 100  # characters of a name; longer ones lose their middle
MARKUP = re.compile(r"[^\w \-.,;()+−–…≤≥%✓✗]|_")  # Markdown, HTML, mentions, references and addresses need one of these
BARE_ADDRESS = re.compile(r"\bwww\.", re.IGNORECASE)

VERDICTS: Final[Mapping[str, tuple[str, str]]] = {  # verdict: (glyph, one line for the glossary)
    Verdict.FORGOTTEN: (
        "▼",
        "the score fell by more than the margin: "
        "p forgotten, Holm-adjusted over the candidate's gate units, is at most α, wherever the base stands",
    ),
    Verdict.RETAINED: (
        "●",
        "a fall by the margin or more is ruled out: p retained is at most α, the base is above chance, and the margin "
        "at most a fifth of what it scores over that",
    ),
    Verdict.INCONCLUSIVE: (
        "?",
        "neither is shown with this many examples; the row says which of them the evidence leans to, and what would "
        "show it",
    ),
}

KINDS: Final[dict[str, str]] = {
    ModelKind.BASE: "base",
    ModelKind.FULL: "full fine-tuning",
    "lora": "LoRA",
    "ia3": "IA³",
    "prompt": "soft prompt",
    "p-tuning": "p-tuning",
    "prefix": "prefix tuning",
    ModelKind.PLACEBO: "the base through an adapter that changes nothing",
    ModelKind.UNQUANTISED: "the base, not quantised",
    ModelKind.IMPORTED: "log of another tool",
}


def kind_words(kind: str) -> str:
    """Return the kind of a model in words; a rarer adapter is called by peft's name."""
    return KINDS.get(kind, f"{kind} adapter")


# ---- text ------------------------------------------------------------------------------------------------------------

_JOINERS = {"\u200c", "\u200d"}  # Persian and emoji need them


def visible(text: str) -> str:
    """Replace each control, bidirectional, invisible and unpaired character by ⟨U+XXXX⟩; newlines and tabs stay."""
    if (
        text.replace("\n", "").replace("\t", "").isprintable()
    ):  # most are: the characters below are none of them printable to Python
        return text
    return "".join(map(_visible_character, text.replace("\r\n", "\n")))


def _visible_character(character: str) -> str:
    if (
        character in "\n\t"
        or character in _JOINERS
        or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp")
    ):
        return character
    return f"⟨U+{ord(character):04X}⟩"


def one_line(text: str, most: int = 0) -> str:
    """Return `text` visible on one line, of at most `most` characters (0: any number); a longer one loses its
    middle.
    """
    line = visible(text).replace("\n", "↵").replace("\t", "⇥")
    if most and len(line) > most:
        head = (most - 1) * 2 // 3
        return f"{line[:head]}…{line[len(line) - (most - 1 - head) :]}"
    return line


def inert(text: str) -> str:
    """Escape `text` on one line for Markdown and HTML, so that nothing in it is markup."""
    bare = BARE_ADDRESS.sub(lambda match: match[0][:-1] + "\N{ZERO WIDTH SPACE}.", one_line(text))
    return MARKUP.sub(lambda match: f"&#{ord(match[0])};", bare)


def shortened(text: str, most: int) -> str:
    """Shorten `text` in the middle to `most` characters, stating how many are missing."""
    if len(text) <= most:
        return text
    head = most // 3
    return f"{text[:head]}\n[… {len(text) - most:,} characters left out …]\n{text[len(text) - (most - head) :]}"


def listed(words: Iterable[str], last: str = "and") -> str:
    """Join words as a list: "a", "a and b", "a, b and c"."""
    *front, end = list(words) or [""]
    return f"{', '.join(front)} {last} {end}" if front else end


def counted(n: int, one: str, many: str = "") -> str:
    """Return a number with its noun: "1 example", "2,000 examples"."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def general_of(general: MeanDifference, of: Comparison) -> str:
    """Say over which units the mean difference beside a suite is taken, and how many of them the base cannot do."""
    unable = f", {general.unable} of which the base cannot do" if general.unable else ""
    untrained = "" if Flag.NO_TARGET in of.flags else " that it was not trained on"
    return f"{counted(general.units, 'gate unit')} scored from 0 to 1{untrained}{unable}"


def nothing_shown(general: MeanDifference | None) -> str:
    """Say why the mean difference shows nothing: the base can do none of its units; "" if it can do some."""
    if general is None or general.unable < general.units:
        return ""
    units = "the one gate unit" if general.units == 1 else f"any of {general.units} gate units"
    return f"the base cannot do {units} scored from 0 to 1 (at chance, one answer to all rows, or no text)"


# ---- numbers ---------------------------------------------------------------------------------------------------------


def places_for(values: Iterable[float | None], fine: int = 3) -> int:
    """Return the decimals to print: `fine` for scores in 0–1, two fewer for scores in 0–100 (where any value is above
    1.5).
    """
    return max(fine - 2, 1) if any(value is not None and abs(value) > 1.5 for value in values) else fine


def finer(places: int, differences: Iterable[Estimate | MeanDifference | None]) -> int:
    """Return `places`, or more decimals if the narrowest interval's width needs them to show two figures."""
    ends = [(each.low, each.high) for each in differences if each is not None]
    widths = [high - low for low, high in ends if low is not None and high is not None and high > low]
    if not widths or min(widths) >= 10**-places:
        return places
    return min(MOST_PLACES, 1 - math.floor(math.log10(min(widths))))


def places_of(*comparisons: Comparison) -> int:
    """Return the decimals for comparisons on one scale that are shown together."""
    in_margins = all(c.metric == MARGINS for c in comparisons)
    places = IN_MARGINS if in_margins else places_for(value for c in comparisons for value in values_of(c))
    return finer(places, (c.difference for c in comparisons))


def interval(estimate: Estimate | MeanDifference | None, places: int = 3, sign: bool = True) -> str:
    """Return an interval as text, "[−0.10, +0.02]"; empty if there is none."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return ""
    write = signed if sign else plain
    return f"[{write(estimate.low, places)}, {write(estimate.high, places)}]"


def unit_of(*comparisons: Comparison) -> MetricUnit:
    """Return the unit for comparisons by one metric that are shown together, with as many decimals as they need."""
    unit = metric_unit(comparisons[0])
    shift = round(math.log10(unit.factor))
    places = finer(unit.places + shift, (c.difference for c in comparisons)) - shift
    return replace(unit, places=places)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreChange:
    """The scores of base and candidate, their difference and its interval, as texts; "–" for what was not measured, ""
    for no interval.
    """

    base: str
    candidate: str
    difference: str
    interval: str


def score_change(
    base: Estimate | None, candidate: Estimate | None, difference: Estimate | None, places: int | None = None
) -> ScoreChange:
    """Format scores and difference with `places` decimals (None: as many as the three values need)."""
    values = [value_of(estimate) for estimate in (base, candidate, difference)]
    places = finer(places_for(values), [difference]) if places is None else places
    return ScoreChange(
        base=plain(values[0], places),
        candidate=plain(values[1], places),
        difference=signed(values[2], places),
        interval=interval(difference, places),
    )


def change_of(c: Comparison, places: int | None = None) -> ScoreChange:
    """Return the scores of a comparison as texts. A mean over gate units has no scores, and its difference is in
    margins.
    """
    change = score_change(c.base, c.candidate_score, c.difference, places_of(c) if places is None else places)
    in_margins = c.metric == MARGINS and c.difference is not None
    return replace(change, difference=f"{change.difference} margins") if in_margins else change


def beside_mean(c: Comparison) -> list[str]:
    """Return further descriptions of a mean over gate units (tasks and groups that the gate judges): the mean with
    gains capped, the median unit, the skill that remains, and whether a target was stated; of a task or group only the
    skill that remains.
    """
    capped = [] if c.capped is None else [f"{signed(c.capped, IN_MARGINS)} margins with its gains capped"]
    median = [] if c.median is None else [f"median unit {signed(c.median, IN_MARGINS)} margins"]
    skill = [] if c.retention is None else [f"{percent(c.retention.value, 0)} of the skill kept"]
    return [*capped, *median, *skill, *([NO_TARGET] if Flag.NO_TARGET in c.flags else [])]


def values_of(c: Comparison) -> tuple[float | None, float | None, float | None]:
    """Return base, candidate and difference; None for what was not measured."""
    return value_of(c.base), value_of(c.candidate_score), value_of(c.difference)


def with_interval(estimate: Estimate | MeanDifference | None, places: int = 3, sign: bool = True) -> str:
    """Return a value with its interval, "+0.41 [+0.36, +0.45]"; the value alone without an interval, "–" without a
    value.
    """
    write = signed if sign else plain
    return f"{write(value_of(estimate), places)} {interval(estimate, places, sign)}".strip()


def direction(difference: Estimate | None) -> str:
    """Return "fell" or "rose" if the whole interval lies on one side of zero, else ""."""
    if difference is None:
        return ""
    if difference.high is not None and difference.high < 0:
        return "fell"
    return "rose" if difference.low is not None and difference.low > 0 else ""


def p_value(p: float | None) -> str:
    if p is None or not math.isfinite(p):
        return NONE
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def percent(share: float | None, places: int = 2) -> str:
    """Return a share (0–1) in percent; a very small one with two figures."""
    if share is None or not math.isfinite(share):
        return NONE
    value = 100 * share
    return f"{value:.2g} %" if 0 < abs(value) < 10**-places else f"{value:.{places}f} %".replace("-", MINUS)


def signed_percent(share: float | None) -> str:
    text = percent(share)
    return f"+{text}" if share is not None and math.isfinite(share) and share > 0 else text


def in_bytes(n: float) -> str:
    """Return a number of bytes as text, in decimal units with three figures."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(n) < 1000 or unit == "TB":
            return f"{n:.0f} {unit}" if unit == "B" or n >= 100 else f"{n:.3g} {unit}"
        n /= 1000
    raise AssertionError


def in_seconds(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def any_value(value: Any) -> str:
    """Return a value of the signature or of run.json on one line."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}".replace("-", MINUS)
    if isinstance(value, int):
        return f"{value:,}".replace("-", MINUS) if abs(value) >= 10000 else str(value)
    if isinstance(value, list | tuple):
        return ", ".join(any_value(item) for item in value) or NONE
    return str(value)
