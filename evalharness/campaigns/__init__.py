"""Campaigns: several runs of the pipeline for one question."""

KNOWN = {
    "demo": "evalharness.campaigns.demo:run_demo",
    "sweep": "evalharness.campaigns.sweep:run_sweep",
    "sweep-asked": "evalharness.campaigns.sweep:Asked",
    "trace": "evalharness.campaigns.trace:run_trace",
    "trace-asked": "evalharness.campaigns.trace:Asked",
}
