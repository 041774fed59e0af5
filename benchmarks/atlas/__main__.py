"""Measure what common fine-tuning recipes forget on a real model: results.json beside this package, and docs/atlas.md.

    python benchmarks/atlas --data DIR          (make atlas DATA=DIR; two hours of two cores at most)
    python benchmarks/atlas --tables            draws page and figures from results.json again, without a model
    python benchmarks/atlas --verify LINE       makes that line again in a folder of its own; 1 where its digest differs

DIR has MMLU's published rows (test/SUBJECT_test.csv); without it they are left out. Killed, the same command goes on:
trainings, answers and finished lines are kept under runs/atlas.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import figures
import forecast
import lines
import measure
import tables
from drift_lines import table_text
from model import make_base
from plan import Plan, real_ways

from evalharness.errors import EvalHarnessError, UsageError, did_you_mean

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RECORDS, PAGE = HERE / "results.json", ROOT / "docs" / "atlas.md"


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="the base's directory [default: made by benchmarks/atlas/model.py]")
    parser.add_argument("--data", type=Path, help="MMLU's rows as published: test/")
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "atlas")
    parser.add_argument("--seed", type=int, action="append", help="a training seed; repeatable [default: 1, 2, 3]")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, help="a folder for records, page and figures instead of the repository's")
    parser.add_argument("--tables", action="store_true", help="draw page and figures from the records alone")
    parser.add_argument("--verify", metavar="LINE", help="make one line again, and compare its digest")
    return parser.parse_args(arguments)


def plan_of(arguments: argparse.Namespace) -> Plan:
    """What is to be measured. Raises UsageError for rows that are not there."""
    if arguments.data is not None and not (arguments.data / "test").is_dir():
        raise UsageError(
            "--data", f"{arguments.data} has no folder test/", "name the folder of MMLU's published CSV files"
        )
    if arguments.model is not None and not arguments.model.is_dir():
        raise UsageError("--model", f"{arguments.model} is no directory", "leave it out, and the model is fetched")
    if arguments.processes < 1:
        raise UsageError("--processes", f"{arguments.processes}", "a whole number above zero would be right")
    base = make_base(arguments.model or arguments.folder / "base")
    seeds = tuple(arguments.seed or (1, 2, 3))
    return Plan(
        base=base.resolve(), folder=arguments.folder.resolve(), ways=real_ways(), seeds=seeds, data=arguments.data
    )


def run(plan: Plan, processes: int, records: Path) -> None:
    """Measure everything; the records are whole after every line."""

    def save(measured: list[lines.Line]) -> None:
        lines.write(records, {**measure.head(plan), "lines": measured})
        print(f"{len(measured)} lines: {measured[-1]['name']} {measured[-1].get('cost', {})}", flush=True)

    measure.measured(plan, processes, save)
    table = forecast.candidates_in(plan.folder / measure.EVALUATIONS)
    (plan.folder / "drift.csv").write_text(table_text(table), "utf-8")  # for --drift-table


def show(records: Path, out: Path | None) -> None:
    """Write the page's tables, and the figures."""
    document = lines.read(records)
    page = out / PAGE.name if out else PAGE
    page.write_text(tables.with_tables(PAGE.read_text("utf-8"), document), "utf-8")
    figures.draw(page.parent, document)
    print(f"{len(document['lines'])} lines: {page}")


def verify(plan: Plan, name: str, records: Path) -> int:
    """Make one line again from nothing; 0 where digest and all are the same."""
    document = lines.read(records)
    recorded = {line["name"]: line for line in document["lines"]}
    if name not in recorded:
        raise UsageError("--verify", f"there is no line {name!r}", did_you_mean(name, recorded))
    line = recorded[name]
    with tempfile.TemporaryDirectory(prefix="verify-", dir=_folder(plan)) as place:
        again = replace(plan, folder=Path(place))
        way = next(way for way in plan.ways if way.name == (recorded[line["of"]] if line["of"] else line)["way"])
        made_again = measure.candidate_line(again, way, line["seed"])
        if line["of"]:
            made_again = measure.repair_line(again, made_again)
    if made_again["digest"] == line["digest"]:
        print(f"{name}: the same, {line['digest']}")
        return 0
    for where, (before, after) in differences(line, made_again).items():
        print(f"{name}: {where}: recorded {before}, now {after}")
    return 1


def differences(one: Any, other: Any, where: str = "") -> dict[str, tuple[Any, Any]]:
    """Where two lines differ, times aside."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = [key for key in {**one, **other} if key not in lines.FREE]
        parts = [differences(one.get(key), other.get(key), f"{where}.{key}".strip(".")) for key in keys]
        return {key: value for part in parts for key, value in part.items()}
    return {} if one == other else {where: (one, other)}


def _folder(plan: Plan) -> Path:
    plan.folder.mkdir(parents=True, exist_ok=True)
    return plan.folder


def main(arguments: Sequence[str] | None = None) -> int:
    values = options(arguments)
    records = values.out / RECORDS.name if values.out else RECORDS
    try:
        if values.verify:
            return verify(plan_of(values), values.verify, records)
        if not values.tables:
            run(plan_of(values), values.processes, records)
        show(records, values.out)
    except EvalHarnessError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted: the same command goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.exit(main())
