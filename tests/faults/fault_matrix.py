"""The matrix of faults: by number, what is injected and what is right. Tests say which row they inject with
`@pytest.mark.fault(NUMBER)`; `make faults` runs them and prints how often each row was injected and survived.

A test of a row counts as one injection; one that injects many says so: `record_property("injected", 200)`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

ROWS = {
    1: "killed anywhere: every write, rename and commit, and at random; resumed, the files are byte-identical",
    2: "killed while it resumes, reports or writes a baseline: the old file or the new one, whole",
    3: "power lost: the store opens, acknowledged blocks are there",
    4: "Ctrl-C and SIGTERM: what was answered is kept, the way on is said, 130 or 143",
    5: "disk full: one clear error, earlier answers kept, resuming works",
    6: "read-only places, no home: a clear error or another place",
    7: "damaged store (bytes, pages, WAL, zero length, other schema): never a wrong score, never deleted",
    8: "several processes on one store: all end, nothing counted twice",
    9: "no file locks: refused or another journal, with a warning",
    10: "stale answers: whatever moves an answer makes another model of it",
    11: "base and candidate mixed up: other keys, the candidate is really asked",
    12: "out of memory: batches are halved, results as with small ones",
    13: "killed for memory: what was answered is kept, and the run goes on where it was",
    14: "NaN and infinite logits: an error of the example, never a number",
    15: "empty, blank or ended answers: scored 0, kept, counted",
    16: "answers without an end: cut at the limit, counted",
    17: "prompts longer than the window: truncated by the rule, counted, the continuation never",
    18: "invalid UTF-8, NUL, surrogates, long lines, RTL, emoji: stored and shown",
    19: "missing, misshapen, truncated weights: refused by name",
    20: "adapters with missing keys, another base, another rank: refused by name",
    21: "pickles: never executed",
    22: "remote code: never executed",
    23: "modules that an adapter's configuration names: never imported",
    24: "templates that attack: no execution, bounded time and memory",
    25: "YAML and JSON that attack or surprise: errors, bounded time and memory",
    26: "paths and odd names: nothing written outside the folder",
    27: "decompression bombs, links, devices as data: bounded, refused",
    28: "hostile text in the page: no execution, no request",
    29: "hostile text in a CI log: no command of the runner",
    30: "repeated with other hash seeds and threads: the same bytes",
    31: "other batch sizes and orders: within the tolerance, near ties counted",
    32: "clocks that jump: times never negative, in UTC",
    33: "hub out of reach: an answer within five seconds",
    34: "a server that is overloaded, slow, dead, cut short, or gives other log-probabilities: never a score",
    35: "part of a suite failed: the rest is reported, exit 5",
    36: "degenerate statistics: no exception, the right verdict or none",
    37: "two runs into one folder: the second is told before it reads a checkpoint, nothing is mixed",
}


def table(outcomes: Iterable[tuple[int, int, bool]]) -> Sequence[str]:
    """Tabulate (row, injections, survived) of tests: one line a row, and last the rows that nothing injected."""
    injected: Counter[int] = Counter()
    survived: Counter[int] = Counter()
    for row, count, passed in outcomes:
        injected[row] += count
        survived[row] += count * passed
    lines = [f"{row:3}  {injected[row]:6} {survived[row]:6}  {ROWS[row]}" for row in sorted(injected)]
    missing = [str(row) for row in ROWS if row not in injected]
    return ["row injected survived", *lines, *([f"not injected: {', '.join(missing)}"] if missing else [])]
