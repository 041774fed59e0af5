"""Check a log's values against the score that the tool itself reported, to detect missing parts and mixed runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evalharness.errors import DataError
from evalharness.imports.logged import is_score

WHOLE = "both files of one run, whole and as they were written, would be right"


def check_reported(
    samples: Path, results: Path, metric: str, values: Sequence[float], reported: Any, tolerance: float = 1e-9
) -> None:
    """Check that the values have the reported mean, if that is a finite number. Raises DataError.

    `samples` and `results` are the files that values and mean come from.
    """
    if not is_score(reported):
        return
    mean = sum(values) / len(values) if values else math.nan
    if not abs(mean - reported) <= tolerance * max(1.0, abs(reported)):
        what = f"its {len(values)} values of {metric} have the mean {mean:.6g}, and {results.name} says {reported:.6g}"
        raise DataError(samples, what, WHOLE)
