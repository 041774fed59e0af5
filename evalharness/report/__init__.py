"""Show results: one HTML page, and lines for a terminal. The figures are reached by name, so that matplotlib is loaded
only when a page is made.
"""

REGISTRY = {
    "write": "evalharness.report.folder:write",
    "terminal": "evalharness.report.terminal:run_lines",
    "html": "evalharness.report.page:render",
    "written": "evalharness.report.formats:written",
    "model_card": "evalharness.report.model_card:metadata",
    "forest": "evalharness.report.forest:forest",
    "tradeoff": "evalharness.report.tradeoff:tradeoff",
    "curves": "evalharness.report.curves:curves",
    "trajectories": "evalharness.report.trajectories:trajectories",
}
