"""Write sentences and a table on a repair, for the terminal and the page."""

from __future__ import annotations

from collections.abc import Iterator

from evalharness.report import wording
from evalharness.report.repair import PathPoint, Repair
from evalharness.report.text_table import REMARKS, TextTable, from_rows


def sentences(repair: Repair) -> list[str]:
    """Return sentences on the result of the repair, the rule, and the rows that it used."""
    return list(_sentences(repair))


def _sentences(repair: Repair) -> Iterator[str]:
    name, base = wording.one_line(repair.candidate, 60), wording.one_line(repair.base, 60)
    limit = f", of which at most {repair.limit:,} a task are asked" if repair.limit else ""
    rows = f"{repair.chosen_on} ({repair.rows_a:,} rows of all tasks{limit})"
    if repair.chosen is None:
        if not repair.reason:
            yield f"The repair of {name} is not finished: give its command again."
            return
        yield f"{name} was not repaired: {repair.reason}."
        yield f"That is by {rows} and no verdict{'' if repair.choose_split else '; half B was not asked'}."
        return
    yield f"{name} was taken back to {base} + {_scales(repair)} × what its training added."
    yield repair.rule_words
    yield from _blocks(repair)
    looks = sum(0 < point.scale < 1 for point in repair.points)
    if repair.choose_split:
        confirmed = "other rows, which chose nothing"
    else:
        confirmed = f"half B ({repair.rows_b:,} rows{limit}), which no model had been asked before"
    yield f"λ was chosen on {rows}, after {wording.counted(looks, 'look')}; the verdicts are over {confirmed}."


def _scales(repair: Repair) -> str:
    if len(set(repair.chosen_blocks)) < 2:
        return f"{repair.chosen:g}"
    pairs = zip(repair.block_layers, repair.chosen_blocks, strict=True)
    return f"({', '.join(f'{wording.one_line(layers, 60)}: {scale:g}' for layers, scale in pairs)})"


def _blocks(repair: Repair) -> Iterator[str]:
    """Yield a sentence on the search with a λ for each block."""
    if repair.block_points:
        looks = f"{wording.counted(len(repair.block_points), 'more look')} on the same rows"
        gave = "and none was better" if len(set(repair.chosen_blocks)) < 2 else "which the rule prefers"
        yield f"Each of {repair.block_count} blocks of layers was then given a λ of its own, by {looks}, {gave}."


def path_table(repair: Repair) -> TextTable:
    """Return a row for each model that was measured on the way."""
    gains = wording.places_for([point.gain.value for point in repair.points if point.gain is not None])
    rows = [
        {
            "λ": " · ".join(f"{scale:g}" for scale in point.blocks or (point.scale,)),
            "gain on the target": wording.with_interval(point.gain, gains),
            "suite, in margins": wording.with_interval(point.suite, wording.IN_MARGINS),
            REMARKS: _remark(repair, point),
        }
        for point in (*repair.points, *repair.block_points)
    ]
    return from_rows(
        f"The path, on {repair.chosen_on}", f"gain on {wording.one_line(repair.target, 40)}; rule {repair.rule}", rows
    )


def _remark(repair: Repair, point: PathPoint) -> str:
    if repair.is_chosen(point):
        return "● chosen"
    if point.scale == repair.chosen and not point.blocks:
        return "the one for all blocks"
    return {0.0: "the base", 1.0: "the candidate"}.get(point.scale, "")
