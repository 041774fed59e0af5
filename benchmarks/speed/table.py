"""Put what was measured into results.json and into the table of docs/speed.md."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

BEGIN, END = "<!-- speed: benchmarks/speed -->", "<!-- /speed -->"
MEGA = 2**20


@dataclass(frozen=True, kw_only=True)
class Result:
    """One workload. Seconds are of processor time, medians over the rounds; `ratio` is the median of the rounds'
    ratios, theirs to ours. What was not measured is None.

    `max_difference`: the largest of log-likelihoods, in nats; `differing`: how many answers differ by more than
    rounding, or are other texts.
    """

    workload: str
    model: str
    ratio: float
    floor: float
    goal: float
    median_ours: float
    median_theirs: float
    wall_ours: float
    wall_theirs: float
    peak_memory_ours: int | None = None  # bytes above the loaded model
    peak_memory_theirs: int | None = None
    max_difference: float | None = None
    differing: int | None = None
    flops_share: float | None = None
    batch_ours: Any = None
    batch_theirs: Any = None
    requests: int = 0
    rounds: int = 0


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median over rounds of their seconds to ours."""
    return median(their / our for our, their in zip(ours, theirs, strict=True))


def tolerance(loglikelihood: float) -> float:
    """By how many nats two float32 computations of a sum over tokens may differ."""
    return max(1e-4, 1e-6 * abs(loglikelihood))


def differences(ours: Sequence[Any], theirs: Sequence[Any]) -> tuple[float | None, int]:
    """The largest difference of log-likelihoods (None where texts were written), and how many answers differ."""
    largest, differing = None, 0
    for our, their in zip(ours, theirs, strict=True):
        if isinstance(our[0], str):
            differing += our != their
            continue
        gaps = [(abs(a[0] - b[0]), tolerance(b[0]), a[1] != b[1]) for a, b in zip(our, their, strict=True)]
        largest = max([largest or 0.0, *(gap for gap, _, _ in gaps)])
        differing += any(gap > allowed or other for gap, allowed, other in gaps)
    return largest, differing


def merged(before: Sequence[Mapping[str, Any]], new: Sequence[Result], order: Sequence[str]) -> list[dict[str, Any]]:
    """Earlier results with the new ones in their place, in the order of the workloads; those of no workload are left
    out.
    """
    rows = {row["workload"]: dict(row) for row in before} | {row.workload: asdict(row) for row in new}
    return [rows[name] for name in order if name in rows]


def read(path: Path) -> list[dict[str, Any]]:
    """The workloads of a results.json; none where there is no file."""
    return json.loads(path.read_text("utf-8"))["workloads"] if path.is_file() else []


def machine_of(path: Path) -> str:
    """Where the results were measured."""
    return str(json.loads(path.read_text("utf-8"))["machine"])


def write(path: Path, machine: str, rows: Sequence[Mapping[str, Any]]) -> None:
    path.write_text(json.dumps({"machine": machine, "workloads": list(rows)}, indent=1) + "\n", "utf-8")


def _number(value: float | None, form: str = ".1f") -> str:
    return "–" if value is None else f"{value:{form}}"


def _agree(row: Mapping[str, Any]) -> str:
    if row["differing"] is None:
        return "–"
    how = "same text" if row["max_difference"] is None else f"{row['max_difference']:.0e}"
    return how if not row["differing"] else f"{row['differing']} of {row['requests']} differ"


def _memory(row: Mapping[str, Any]) -> str:
    ours, theirs = row["peak_memory_ours"], row["peak_memory_theirs"]
    return "–" if ours is None or theirs is None else f"{ours / MEGA:,.0f} / {theirs / MEGA:,.0f}"


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table in Markdown."""
    lines = [
        "| workload (requests) | model | ours s | theirs s (batch) | times as fast | minimum / goal | memory MiB, "
        "ours / theirs | numbers differ by | FLOP/s of matmul's |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        share = "–" if row["flops_share"] is None else f"{row['flops_share']:.0%}"
        batch = f" ({row['batch_theirs']})" if row["batch_theirs"] else ""
        speed = f"**{row['ratio']:.2f}**" if row["ratio"] < row["floor"] else f"{row['ratio']:.2f}"
        cells = [
            f"{row['workload']} ({row['requests']:,})",
            row["model"],
            _number(row["median_ours"]),
            _number(row["median_theirs"]) + batch,
            speed,
            f"{row['floor']:g} / {row['goal']:g}",
            _memory(row),
            _agree(row),
            share,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def between(page: str, text: str, begin: str = BEGIN, end: str = END) -> str:
    """The page with the text between the two markers. Raises ValueError where it lacks one."""
    before, found_begin, rest = page.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found_begin and found_end):
        raise ValueError(f"docs/speed.md: no text between {begin} and {end}; put both lines back")
    return f"{before}{begin}\n{text}{end}{after}"
