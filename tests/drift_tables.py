"""The writer of tables of drifts, which lies beside the benchmark that makes them."""

from __future__ import annotations

import runpy
from pathlib import Path

table_text = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "atlas" / "drift_lines.py"))["table_text"]
