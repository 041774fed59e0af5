"""Show results as an HTML page, terminal lines, tables and figures. Nothing is computed here.

A gate unit is a task or group that the gate judges; the suite is the mean over all gate units; a margin is the largest
acceptable loss; a target is the task a candidate was trained for. Functions are reached through a registry, so that
matplotlib is imported only if a figure is drawn.
"""

REGISTRY = {
    "write": "evalharness.report.folder:write",
    "terminal": "evalharness.report.terminal:run_lines",
    "verdicts": "evalharness.report.terminal:verdict_lines",
    "html": "evalharness.report.page:render",
    "written": "evalharness.report.formats:format_runs",
    "model_card": "evalharness.report.model_card:metadata",
    "figure": "evalharness.report.figures:figure",
    "frame": "evalharness.report.formats:frame",
    "examples": "evalharness.report.example_frame:examples",
    "first_screen": "evalharness.report.first_screen:first_screen",
    "forest": "evalharness.report.forest:forest",
    "tradeoff": "evalharness.report.tradeoff:tradeoff",
    "curves": "evalharness.report.curves:curves",
    "path": "evalharness.report.repair_curve:repair_curve",
    "trajectories": "evalharness.report.trajectories:trajectories",
    "sizes": "evalharness.report.size_page:size_page",
}
