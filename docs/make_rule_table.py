"""Print how the verdicts of a run that an older rule judged change under this version's rule, as a table in Markdown.

python docs/make_rule_table.py RUN        (the folder of a finished run; nothing is written there)
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evalharness import api

Row = Mapping[str, Any]  # a comparison as results.json has it
VERDICTS = ("forgotten", "retained", "inconclusive")


def lines(run: Path) -> Iterator[str]:
    """A line a candidate: the suite, how many gate units have which verdict, and which have another one now."""
    before = json.loads((run / "results.json").read_text(encoding="utf-8"))
    after = api.compare(run).record
    old = {(row["candidate"], row["task"]): row for row in before["comparisons"] if row["unit"]}
    new = [asdict(row) for row in after.comparisons if row.unit]
    rules = f"rule {before.get('verdict_rule', 1)}", f"rule {after.verdict_rule}"
    titles = (
        "candidate",
        *(f"suite, {rule}" for rule in rules),
        *(f"units, {rule}" for rule in rules),
        "changed units",
    )
    yield from (f"| {' | '.join(titles)} |", "|" + "---|" * len(titles))
    for candidate in dict.fromkeys(row["candidate"] for row in new):
        now = [row for row in new if row["candidate"] == candidate]
        then = [old[candidate, row["task"]] for row in now]
        cells = (candidate, _suite(then), _suite(now), _units(then), _units(now), _changed(then, now))
        yield f"| {' | '.join(cells)} |"


def _suite(rows: Sequence[Row]) -> str:
    (suite,) = (row for row in rows if row["level"] == "suite")
    difference = suite["difference"]
    if difference is None:
        return "not measured"
    return "{value:+.3f} [{low:+.3f}, {high:+.3f}] ".format(**difference) + str(suite["verdict"])


def _units(rows: Sequence[Row]) -> str:
    counts = Counter(row["verdict"] for row in rows if row["level"] != "suite")
    return " / ".join(str(counts[verdict]) for verdict in VERDICTS)


def _changed(then: Sequence[Row], now: Sequence[Row]) -> str:
    pairs = [(b, a) for b, a in zip(then, now, strict=True) if b["level"] != "suite" and b["verdict"] != a["verdict"]]
    return "; ".join(f"`{b['task']}` {b['verdict']} → {a['verdict']}" for b, a in pairs) or "none"


if __name__ == "__main__":
    print("\n".join(lines(Path(sys.argv[1]))))
