"""Results to the lines of a terminal that say how far the candidates' predictions moved from their base's."""

from __future__ import annotations

from collections.abc import Iterator

from evalharness.cli.main import plain
from evalharness.cli.table import aligned
from evalharness.records.results import Results
from evalharness.report import drift

HEAD = ("", "", "KL", "{} interval", "same top token", "{} interval", "cross-entropy", "{} interval")


def drift_lines(results: Results) -> Iterator[str]:
    """A table for each kind of text, the candidate that drifted most first; nothing where nobody asked."""
    for table in drift.tables(results):
        yield ""
        yield f"drift {plain(table.title)} (per token, KL and cross-entropy in nats; a warning, no verdict)"
        head = tuple(title.format(table.level) for title in HEAD)
        known = [(row.rank, plain(row.model), *row.cells) for row in table.rows if row.cells]
        if known:
            yield from (f"  {line}" for line in aligned([head, *known], range(2, len(HEAD))))
        yield from (plain(f"  {row.model}: not known: {row.reason}") for row in table.rows if not row.cells)
