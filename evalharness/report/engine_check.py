"""Define the records and tables of an engine check: how far apart the answers of two engines are.

Both engines get the same requests; each one's own answers are compared with its second ones, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from evalharness.report.escape import plain as plain_text
from evalharness.report.text_table import TextTable
from evalharness.report.wording import NONE, plain, signed
from evalharness.results.files import to_json

SCHEMA_VERSION = 1
LABELS = ("A", "B")
AGAIN, TURNED = "asked twice", "in another order"


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far apart two series of answers to the same requests of one kind ("rank", "generate", "score") are.

    `requests`: their number. `failed`: those that one of the two did not answer. `other_tokens`: answers with other
    tokens than their counterpart. The numbers below are without these two. `numbers`: pairs of log-probabilities;
    `largest`, `median`: their differences in nats, None if there are no pairs. `choices`: rankings of several choices;
    `flips`: those of which the best choice differs. `texts`: written answers; `same`: those that are equal.
    """

    kind: str
    requests: int
    failed: int = 0
    other_tokens: int = 0
    numbers: int = 0
    largest: float | None = None
    median: float | None = None
    choices: int = 0
    flips: int = 0
    texts: int = 0
    same: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedEngine:
    """One of the two engines, and how far its own answers vary.

    `given`: the text on the command line. `noise`: the agreement of its answers with its second ones: asked again
    (AGAIN), and in another order (TURNED).
    """

    given: str
    name: str
    fingerprint: str
    model: str  # fingerprint of the checkpoint
    noise: Mapping[str, tuple[Agreement, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorePair:
    """The score of one task by its deciding metric, from each engine's answers. `n`: examples scored. `difference`: the
    second score minus the first. `first`, `second` and `difference` are None if nothing was scored.
    """

    task: str
    metric: str
    n: int
    first: float | None
    second: float | None
    difference: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCheck:
    """The result of `evalharness engine check`.

    `between`: how far apart the two engines' answers are, by kind of request. `scores`: by task. `tolerance`: the
    largest difference in nats, and `same_texts`: the least share of equal texts, at which the engines count as equal.
    `reasons`: why they are not; empty if they are.
    """

    engines: tuple[CheckedEngine, CheckedEngine]
    between: tuple[Agreement, ...]
    scores: tuple[ScorePair, ...]
    tolerance: float
    same_texts: float
    reasons: tuple[str, ...]

    @property
    def equal(self) -> bool:
        return not self.reasons


def document(check: EngineCheck) -> str:
    """Return the check as JSON."""
    return to_json({"schema_version": SCHEMA_VERSION, "equal": check.equal, **asdict(check)})


def tables(check: EngineCheck) -> Iterator[TextTable]:
    """Yield the tables: the two engines compared, each compared with itself, and the tasks' scores."""
    yield _agreements("A and B", "the same requests", check.between)
    for label, engine in zip(LABELS, check.engines, strict=True):
        for how, of in engine.noise.items():
            yield _agreements(f"{label} and itself", how, of)
    titles = ("task", "n", "metric", *LABELS, "difference")
    rows = tuple(
        (each.task, str(each.n), each.metric, plain(each.first), plain(each.second), signed(each.difference))
        for each in check.scores
    )
    yield TextTable(title="scores", note="by the metric that decides each task", columns=titles, rows=rows)


def sentences(check: EngineCheck) -> Sequence[str]:
    """Return the conclusion, its reasons, and how far each engine's own answers vary."""
    within = f"within {check.tolerance:g} nats, {100 * check.same_texts:g} % of the texts alike"
    noisy = [_noise(*each) for each in zip(LABELS, check.engines, strict=True)]
    if check.equal:
        return (f"equal: {within}", *noisy)
    return (f"not equal: asked for {within}", *(f"  {reason}" for reason in check.reasons), *noisy)


def headlines(check: EngineCheck) -> list[str]:
    """Return the lines that name the engines A and B."""
    engines = zip(LABELS, check.engines, strict=True)
    return [plain_text(f"{label}: {engine.given} (engine {engine.fingerprint[:12]})") for label, engine in engines]


def _noise(label: str, engine: CheckedEngine) -> str:
    moved = [each.largest or 0.0 for of in engine.noise.values() for each in of]
    texts = sum(each.texts - each.same for of in engine.noise.values() for each in of)
    flips = sum(each.flips for of in engine.noise.values() for each in of)
    largest = f"{max(moved, default=0.0):.2g} nats"
    return (
        f"{label}'s own noise: largest |Δ| {largest}, {flips} best choices and {texts} texts changed, asked twice again"
    )


def _agreements(title: str, note: str, of: Sequence[Agreement]) -> TextTable:
    titles = ("kind", "requests", "failed", "largest |Δ|", "median |Δ|", "other best choice", "same texts")
    rows = tuple(
        (
            each.kind,
            str(each.requests),
            str(each.failed),
            _nats(each.largest),
            _nats(each.median),
            f"{each.flips} of {each.choices}" if each.choices else NONE,
            f"{each.same} of {each.texts}" if each.texts else NONE,
        )
        for each in of
    )
    return TextTable(title=title, note=note, columns=titles, rows=rows)


def _nats(value: float | None) -> str:
    return NONE if value is None else f"{value:.2g}"
