"""Run the verdict's own functions on drawn data whose truth is known; write the figures into docs/statistics.md,
docs/calibration.md and goldens/full.json.

    python benchmarks/calibrate                         (make calibrate; about 25 minutes of two cores)
    python benchmarks/calibrate --only suites           draws one part again and keeps the others
    python benchmarks/calibrate --only nothing          writes the tables again
    python benchmarks/calibrate --scale 4               with more draws, where a figure is to be known better
    python benchmarks/calibrate --scale .01 --out DIR   quickly, elsewhere

Every figure is reproducible from the seed. Ends with 1 if a target (targets.py) is missed. Beside the figures it leaves
goldens/small.json: one cell of each kind with few draws, which a test draws again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import foretold
import margin
import needed
import rival
import sequences
import suites
import tables
import targets
import until

HERE = Path(__file__).resolve().parent
PAGES = tuple(HERE.parents[1] / "docs" / name for name in ("statistics.md", "calibration.md"))
SEED = 1
SMALL = 0.01  # of the numbers of draws
PARTS = ("margin", "suites", "needed", "rival", "foretold", "watched", "until", "plan")

Row = dict[str, Any]


def jobs(part: str, scale: float) -> tuple[Callable[..., Row | None], Sequence[Any]]:
    """What computes a row, and of what."""
    if part == "margin":
        return margin.measure, list(margin.cells(scale))
    if part == "suites":
        return suites.measure, list(suites.cases(scale))
    for name, module in {"needed": needed, "rival": rival, "foretold": foretold, "until": until}.items():
        if part == name:
            return module.measure, list(module.cases(scale))
    if part == "watched":
        return sequences.measure, list(sequences.cases(scale))
    return sequences.plan, list(sequences.SIZES)[: 2 if scale == SMALL else None]


def small() -> dict[str, list[Row]]:
    """The first cell of each kind with few draws, but for BLEU, of which a world takes seconds to set up."""
    rows = {}
    for part in PARTS:
        measure, cases = jobs(part, SMALL)
        first = {getattr(case, "group", getattr(case, "kind", part)): case for case in reversed(cases)}
        measured = [measure(case, seed=SEED) for kind, case in reversed(first.items()) if kind != "BLEU"]
        rows[part] = [rounded(row) for row in measured if row is not None]
    return rows


def rounded(row: Row) -> Row:
    return {name: round(value, 5) if isinstance(value, float) else value for name, value in row.items()}


def computed(part: str, scale: float, processes: int) -> list[Row]:
    """All rows of a part, in order, without what cannot be."""
    measure, cases = jobs(part, scale)
    with ProcessPoolExecutor(processes) as pool:
        return [rounded(row) for row in pool.map(partial(measure, seed=SEED), cases) if row is not None]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="How often verdicts err, as tables in docs/")
    parser.add_argument("--only", choices=(*PARTS, "nothing"), help="draw one part again and keep the others")
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of draws")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, help="write full.json and the pages there, not into the repository")
    arguments = parser.parse_args(argv)
    goldens = (arguments.out or HERE / "goldens") / "full.json"
    pages = [arguments.out / page.name if arguments.out else page for page in PAGES]
    rows: dict[str, list[Row]] = json.loads(goldens.read_text("utf-8")) if arguments.only and goldens.exists() else {}
    goldens.parent.mkdir(parents=True, exist_ok=True)
    for part in PARTS if arguments.only is None else (arguments.only,):
        if part != "nothing":
            rows[part] = computed(part, arguments.scale, arguments.processes)
            rows["scale"] = [
                {"part": each, "scale": scale} for each, scale in (scales(rows) | {part: arguments.scale}).items()
            ]
            print(f"{part}: {len(rows[part])} rows", flush=True)
        goldens.write_text(as_json(rows), "utf-8")
        texts = tables.filled([page.read_text("utf-8") for page in PAGES], rows)
        for page, text in zip(pages, texts, strict=True):
            page.write_text(text, "utf-8")
    if arguments.only is None:
        goldens.with_name("small.json").write_text(as_json(small()), "utf-8")
    return print_targets(rows)


def scales(rows: Mapping[str, Sequence[Row]]) -> dict[str, float]:
    """How the numbers of draws of each part were scaled."""
    return {row["part"]: row["scale"] for row in rows.get("scale", ())}


def as_json(rows: Mapping[str, Sequence[Row]]) -> str:
    """One row a line."""
    lines = [
        f' "{part}": [\n' + ",\n".join("  " + json.dumps(row, ensure_ascii=False) for row in rows[part]) + "\n ]"
        for part in rows
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def print_targets(rows: Mapping[str, Sequence[Row]]) -> int:
    """Prints every target with the row that has least slack, and what was missed. 1 if anything was."""
    for what, (count, least) in targets.worst(targets.claims_of(rows)).items():
        print(
            f"{'met' if least.slack >= 0 else 'MISSED':7}{what}: {tables.against(least)} ({count} rows; {least.cell})"
        )
    missed = targets.missed(rows)
    for claim in missed:
        print(f"missed: {claim.what}: {tables.against(claim)} in {claim.cell}")
    return 1 if missed else 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
