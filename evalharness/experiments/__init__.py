"""Evaluate several times for one question: sweeps, traces, forecasts, the demo."""

REGISTRY = {
    "forecast": "evalharness.experiments.power_forecast:forecast",
    "demo": "evalharness.experiments.demo:run_demo",
    "sweep": "evalharness.experiments.sweep:run_sweep",
    "trace": "evalharness.experiments.trace:run_trace",
}
