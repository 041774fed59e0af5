"""Combine several evaluations: sweeps, repairs, traces, bisections, forecasts, engine checks, the demo.

Each runs evaluations of the package `run` and draws a conclusion of its own; jobs.py has the options of each.
"""

REGISTRY = {
    "bisect": "evalharness.experiments.bisect:run_bisect",
    "engine_check": "evalharness.experiments.engine_check:check_engines",
    "forecast": "evalharness.experiments.power_forecast:forecast",
    "demo": "evalharness.experiments.demo:run_demo",
    "repair": "evalharness.experiments.repair:run_repair",
    "sweep": "evalharness.experiments.sweep:run_sweep",
    "train": "evalharness.experiments.watched_training:train_watched",
    "trace": "evalharness.experiments.trace:run_trace",
}
