"""Streams of units of one row each, and the first verdict on one, as the benchmark of them has these."""

from __future__ import annotations

import runpy
from pathlib import Path

WATCHING = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "calibrate" / "watching.py"))
single, first_decision = WATCHING["single"], WATCHING["first_decision"]
