"""How far to go: the rules on curves that are drawn, against a plain search over all points."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from evalharness.experiments.halves import draw_halves
from evalharness.experiments.repair_rules import FIRST, MORE, RepairRule, choose, next_scale, reason_against
from evalharness.records.comparison import Estimate
from evalharness.report.repair import PathPoint

NUMBERS = st.floats(-3, 3, allow_nan=False).map(lambda value: round(value, 3))


def point(scale: float, gain: float, loss: float, width: float = 0.1) -> PathPoint:
    suite = Estimate(value=loss, low=loss - width, high=loss + width)
    return PathPoint(scale=scale, gain=Estimate(value=gain), suite=suite, fingerprint="f")


ENDS = (point(0.0, 0.0, 0.0, 0.0), point(1.0, 0.6, -2.0))


@given(st.dictionaries(st.sampled_from([i / 32 for i in range(1, 32)]), st.tuples(NUMBERS, NUMBERS), max_size=6))
def test_the_choice_is_the_best_of_those_that_qualify(curve: dict[float, tuple[float, float]]) -> None:
    points = [*ENDS, *(point(scale, *values) for scale, values in curve.items())]
    within = {s: gain for s, (gain, loss) in curve.items() if gain > 0 and loss - 0.1 >= -1}
    best = choose(RepairRule.WITHIN_MARGIN, points)
    assert (best.scale if best else None) == min((s for s in within if within[s] == max(within.values())), default=None)
    knee = {s: gain / 0.6 - loss / -2.0 for s, (gain, loss) in curve.items() if gain > 0}
    best = choose(RepairRule.KNEE, points)
    if best is None:
        assert all(value <= 0 for value in knee.values())
    else:
        about_best = [s for s in knee if knee[s] > 0 and knee[s] >= max(knee.values()) - 0.05 + 1e-12]
        assert knee[best.scale] >= max(knee.values()) - 0.05 - 1e-12
        assert all(curve[s][0] <= curve[best.scale][0] for s in about_best)


@given(st.sampled_from(RepairRule), st.floats(0.05, 5), st.floats(0.05, 5))
def test_the_search_stays_between_the_ends_and_ends(rule: RepairRule, bend: float, fall: float) -> None:
    points = [*ENDS]
    while (scale := next_scale(rule, points)) is not None:
        assert 0 < scale < 1 and scale not in {each.scale for each in points}
        points.append(point(scale, 0.6 * scale**bend, -2 * scale**fall))
    assert len(points) == len(ENDS) + len(FIRST) + MORE and {each.scale for each in points} > set(FIRST)


def test_the_search_closes_in_on_the_last_that_is_within_its_margin() -> None:
    points = [*ENDS]
    while (scale := next_scale(RepairRule.WITHIN_MARGIN, points)) is not None:
        points.append(point(scale, 0.6 * scale, -2 * scale, 0.0))
    best = choose(RepairRule.WITHIN_MARGIN, points)
    assert best is not None and best.scale == 0.5
    assert {each.scale for each in points} == {0.0, 0.25, 0.5, 0.53125, 0.5625, 0.625, 0.75, 1.0}


def test_the_search_closes_in_on_the_knee_on_either_side_and_gain_decides_between_about_equals() -> None:
    for knee in (0.4, 0.6):  # all of the gain is there by then, and no loss yet
        points = [*ENDS]
        while (scale := next_scale(RepairRule.KNEE, points)) is not None:
            loss = -2 * max(0.0, scale - knee) / (1 - knee)
            points.append(point(scale, 0.6 * min(1.0, scale / knee), loss))
        best = choose(RepairRule.KNEE, points)
        assert best is not None and abs(best.scale - knee) < 0.04
    alike = [*ENDS, point(0.25, 0.4, -0.2), point(0.5, 0.5, -0.6), point(0.75, 0.55, -1.2)]
    assert choose(RepairRule.KNEE, alike) == alike[3]  # worth 0.53, less than the first's 0.57, and about equal


def test_equals_go_to_the_smaller_and_none_may_qualify() -> None:
    alike = [*ENDS, point(0.25, 0.5, -0.2), point(0.5, 0.5, -0.2)]
    assert choose(RepairRule.WITHIN_MARGIN, alike) == alike[2] == choose(RepairRule.KNEE, alike)
    assert choose(RepairRule.WITHIN_MARGIN, [*ENDS, point(0.5, 0.5, -1.0)]) is None
    assert choose(RepairRule.KNEE, [*ENDS, point(0.5, 0.1, -1.5)]) is None


def test_what_needs_no_repair_says_why() -> None:
    assert "lost nothing" in reason_against(RepairRule.KNEE, point(1, 0.5, 0.0))
    assert "gained nothing" in reason_against(RepairRule.KNEE, point(1, 0.0, -1))
    assert "within its margin" in reason_against(RepairRule.WITHIN_MARGIN, point(1, 0.5, -0.5))
    assert (
        reason_against(RepairRule.KNEE, point(1, 0.5, -0.5)) == "" == reason_against(RepairRule.WITHIN_MARGIN, ENDS[1])
    )
    unmeasured = PathPoint(scale=1, gain=None, suite=None, fingerprint="f")
    assert "could not be measured" in reason_against(RepairRule.KNEE, unmeasured)


def in_half_b(rows: list[tuple[str, str]], seed: int) -> dict[tuple[str, str], bool]:
    (of_task,) = draw_halves([[(unit,) for unit, _ in rows]], [[content for _, content in rows]], seed)
    return dict(zip(rows, of_task, strict=True))


@given(st.lists(st.integers(0, 12), min_size=2, max_size=60), st.integers(0, 5), st.randoms())
def test_halves_are_whole_units_whatever_the_order(units: list[int], seed: int, order: object) -> None:
    rows = [(str(unit), f"{unit}-{i}") for i, unit in enumerate(units)]
    half = in_half_b(rows, seed)
    by_unit: dict[str, set[bool]] = {}
    for (unit, _), b in half.items():
        by_unit.setdefault(unit, set()).add(b)
    assert all(len(halves) == 1 for halves in by_unit.values())
    largest = max(units.count(unit) for unit in units)
    assert abs(2 * sum(half.values()) - len(rows)) <= largest
    mixed = [*rows]
    order.shuffle(mixed)  # type: ignore[attr-defined]
    assert in_half_b(mixed, seed) == half
