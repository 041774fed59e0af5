"""Say of each candidate what it forgot, whether it learned its target, and what the gate rules: one card each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from evalharness.analysis.gate import GateOutcome, judge_alone, worst
from evalharness.analysis.phrases import would_decide
from evalharness.records.comparison import Comparison, Flag, Level, value_of
from evalharness.records.models import ModelKind
from evalharness.records.policy import Policy
from evalharness.records.results import ModelRow, Results
from evalharness.report import wording
from evalharness.report.flags import shown_flags
from evalharness.report.targets import untold
from evalharness.stats.enums import Verdict

GATE = {  # exit code of the gate: (class, glyph, words)
    GateOutcome.PASSED: ("retained", "●", "may ship"),
    GateOutcome.FORGOTTEN: ("forgotten", "▼", "must not ship"),
    GateOutcome.UNDECIDED: ("inconclusive", "?", "undecided"),
    GateOutcome.INCOMPLETE: ("incomplete", "!", "incomplete"),
}
FOR_NOTHING = "may ship but did not learn"
LONGEST = 60  # characters of a name in a sentence; the tables of models and of comparisons have it whole
ALONE = {"undecided": "is undecided", "incomplete": "is incomplete"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """The verdict on one candidate. `counts`: (verdict, number of gate units)."""

    name: str
    kind: str
    gate: str
    glyph: str
    words: str
    exit_code: GateOutcome
    sentence: str
    counts: tuple[tuple[str, int], ...]
    suite: str
    average: str  # general ability, and the suite's published one
    detachable: bool


def cards(results: Results) -> list[Card]:
    """One card per candidate, in the order of the models."""
    models = {model.name: model for model in results.models}
    return [_card(results, name, models.get(name)) for name in results.candidates]


def _card(results: Results, name: str, model: ModelRow | None) -> Card:
    own = [c for c in results.comparisons if c.candidate == name]
    units = [c for c in own if c.is_gate_unit and c.primary]
    suite = next((c for c in own if c.level == Level.SUITE and c.primary), None)
    policy = Policy.recorded(results.signature)
    code = judge_alone(results, name, policy).exit_code
    gate, glyph, words = GATE[code]
    if code == GateOutcome.PASSED and model is not None and model.learned_target is False:
        gate, glyph, words = "inconclusive", "?", FOR_NOTHING
    lost = any(c.verdict == Verdict.FORGOTTEN for c in units)
    unchanged = results.signature.get("unchanged", {}).get(name, "")
    said = f"nothing was changed: {unchanged}" if unchanged else ""
    parts = [said, _forgetting(units), _learning(model, lost), _ruling(code, units, suite)]
    parts += ["that is against its base: the gate looks at the baseline file, too"] if policy.looks_at_baseline else []
    counts = tuple((verdict, sum(c.verdict == verdict for c in units)) for verdict in wording.VERDICTS)
    return Card(
        name=name,
        kind=wording.kind_words(model.kind) if model else "",
        gate=gate,
        glyph=glyph,
        words=words,
        exit_code=code,
        sentence="; ".join(part for part in parts if part) + ".",
        counts=counts,
        suite=_suite(suite),
        average="; ".join([*_general(suite), *(_average(c) for c in own if c.level == Level.SUITE and not c.primary)]),
        detachable=model is not None and model.kind not in tuple(ModelKind),
    )


def _difference(c: Comparison) -> str:
    difference, places = value_of(c.difference), wording.places_for(wording.values_of(c), fine=2)
    small = difference is not None and abs(difference) < 0.1 and places == 2
    return wording.signed(difference, 3 if small else places)


def _forgetting(units: Sequence[Comparison]) -> str:
    total = wording.counted(len(units), "gate unit")
    count = {verdict: sum(c.verdict == verdict for c in units) for verdict in wording.VERDICTS}
    if not units:
        return "no gate unit was compared"
    lost = [c for c in units if c.verdict == Verdict.FORGOTTEN]
    if lost:
        label, most = "worst: " if len(lost) > 1 else "", worst(lost)
        return f"forgot {len(lost)} of {total} ({label}{wording.one_line(most.task, LONGEST)} {_difference(most)})"
    if count[Verdict.RETAINED] == len(units):
        return f"retained all of {total}" if len(units) > 1 else "retained its one gate unit"
    return (
        f"forgot none of {total} for certain: "
        f"{count[Verdict.RETAINED]} retained, {count[Verdict.INCONCLUSIVE]} inconclusive"
    )


def _learning(model: ModelRow | None, lost: bool) -> str:
    if model is None or model.target_task is None:
        return "what it was trained on is not known, so what the forgetting bought cannot be told"
    target = wording.one_line(model.target_task, LONGEST)
    gain = f" ({_gain(model)})" if model.target_gain is not None else ""
    if model.learned_target is None:
        return f"whether it learned its target {target} {untold(model)}{gain}"
    if model.learned_target:
        return f"it learned its target {target}{gain}"
    return f"it did not learn its target {target}{gain}, " + (
        "and forgot for nothing" if lost else "so small forgetting here is no success"
    )


def _gain(model: ModelRow) -> str:
    gain = model.target_gain
    return "" if gain is None else wording.signed(gain.value, wording.places_for((gain.value, gain.low, gain.high), 2))


def _ruling(code: GateOutcome, units: Sequence[Comparison], suite: Comparison | None) -> str:
    suspects = [wording.one_line(c.task, LONGEST) for c in units if Flag.SUSPECT in shown_flags(c)]
    why = [f"{wording.listed(suspects)} may have fallen by more than the margin (suspect)"] if suspects else []
    why += [f"the suite is {suite.verdict}: {words}"] if suite is not None and (words := would_decide(suite)) else []
    undecided = "the gate is undecided, and by default does not let it pass"
    return {
        GateOutcome.PASSED: "the gate lets it pass",
        GateOutcome.FORGOTTEN: "it must not ship",
        GateOutcome.UNDECIDED: f"{undecided}: {'; '.join(why)}" if why else undecided,
        GateOutcome.INCOMPLETE: "the run is incomplete, so the gate does not let it pass",
    }[code]


def _suite(suite: Comparison | None) -> str:
    if suite is None:
        return ""
    if suite.difference is None:
        return f"suite {wording.one_line(suite.task, LONGEST)}: not measured"
    shown, verdict = wording.change_of(suite), f", {suite.verdict}" if suite.verdict else ""
    mean = f"{shown.difference} {shown.interval}".rstrip()
    said = "; ".join([f"{mean}{verdict}", *wording.beside_mean(suite)])
    return f"suite {wording.one_line(suite.task, LONGEST)}: {said}"


def _general(suite: Comparison | None) -> list[str]:
    """The mean difference in points, beside the suite's in margins."""
    if suite is None or suite.general is None:
        return []
    if shown := wording.nothing_shown(suite.general):
        return [f"general ability: not shown, {shown}"]
    difference = wording.with_interval(suite.general)
    return [f"general ability: {difference}, the mean over {wording.general_of(suite.general, suite)}"]


def _average(c: Comparison) -> str:
    shown = wording.change_of(c)
    return f"{wording.one_line(c.metric, LONGEST)} {shown.candidate} (base {shown.base}, {shown.difference})"


def headline(cards_: Sequence[Card]) -> str:
    """The page's title in one line."""
    if not cards_:
        return "Nothing to compare"
    if len(cards_) == 1:
        return f"{wording.one_line(cards_[0].name, LONGEST)} {ALONE.get(cards_[0].words, cards_[0].words)}"
    counts = Counter(card.words for card in cards_)
    order = [words for words in ("must not ship", "may ship", FOR_NOTHING, "undecided", "incomplete") if counts[words]]
    return f"Of {len(cards_)} candidates: " + ", ".join(f"{counts[words]} {words}" for words in order)
