"""Campaigns: several runs of the pipeline for one question."""

REGISTRY = {
    "demo": "evalharness.experiments.demo:run_demo",
    "sweep": "evalharness.experiments.sweep:run_sweep",
    "sweep-asked": "evalharness.experiments.sweep:Asked",
    "trace": "evalharness.experiments.trace:run_trace",
    "trace-asked": "evalharness.experiments.trace:Asked",
}
