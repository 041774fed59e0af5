"""Read tables of drifts: CSV files with one line per candidate."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from evalharness.data.contents import read_text, unreadable
from evalharness.errors import DataError
from evalharness.json_text import number_in
from evalharness.paths import shipped
from evalharness.records.drift_table import KINDS, TableCandidate

FOLDER, PATTERN = "fixtures/atlas", "drift-*.csv"  # of the shipped tables
RIGHT = "a table as `make atlas-world` writes it would be right"
TEXTS = ("base", "base_fingerprint", "suite", "target", "method", "neutral_texts", "run")
KL = {f"kl_{kind}": kind for kind in KINDS}
COLUMNS = (
    *("base", "base_fingerprint", "suite", "target", "method", "rate", "replay", "seed", "neutral_texts"),
    *(*KL, "margins", "ability", "run"),
)


def shipped_table() -> tuple[TableCandidate, ...]:
    """Read the shipped tables. Raises DataError for a damaged one."""
    return tuple(row for path in sorted(shipped(FOLDER).glob(PATTERN)) for row in read_table(path))


def read_table(path: Path) -> tuple[TableCandidate, ...]:
    """Read the candidates of one table. Raises DataError that names file, line and column."""
    if not path.is_file():
        raise DataError(path, "is no regular file" if path.exists() else "does not exist", RIGHT)
    try:
        lines = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
        header = tuple(next(lines, ()))
        if header != COLUMNS:
            raise DataError(path, f"its columns are not {', '.join(COLUMNS)}", RIGHT)
        candidates = tuple(_candidate(cells, f"{path}, line {lines.line_num}") for cells in lines)
    except OSError as error:
        raise unreadable(path, error) from None
    except csv.Error as error:
        raise DataError(path, f"not CSV ({error})", RIGHT) from error
    if not candidates:
        raise DataError(path, "has no candidate", RIGHT)
    return candidates


def _candidate(cells: Sequence[str], where: str) -> TableCandidate:
    if len(cells) != len(COLUMNS):
        raise DataError(where, f"has {len(cells)} cells", f"{len(COLUMNS)} would be right")
    values = dict(zip(COLUMNS, cells, strict=True))
    if empty := next((name for name in TEXTS if not values[name]), None):
        raise DataError(where, f"{empty} is empty", RIGHT)
    kl = {kind: _number(values, column, where) for column, kind in KL.items() if values[column]}
    if negative := next((kind for kind, value in kl.items() if value < 0), None):
        raise DataError(where, f"kl_{negative} is below 0", RIGHT)
    if not kl:
        raise DataError(where, f"has none of {', '.join(KL)}", RIGHT)
    seed = _number(values, "seed", where)
    if seed != int(seed):
        raise DataError(where, f"seed is {values['seed']!r}", "a whole number would be right")
    return TableCandidate(
        **{name: values[name] for name in TEXTS},
        rate=_number(values, "rate", where),
        replay=_number(values, "replay", where),
        seed=int(seed),
        kl=kl,
        margins=_number(values, "margins", where),
        ability=_number(values, "ability", where) if values["ability"] else None,
    )


def _number(values: Mapping[str, str], column: str, where: str) -> float:
    if not math.isfinite(value := number_in(values[column])):
        raise DataError(where, f"{column} is {values[column]!r}", "a finite number would be right")
    return value
