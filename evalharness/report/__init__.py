"""Results in, one HTML file out. The figures are reached by name, so that matplotlib is loaded only when a page is
made.
"""

REGISTRY = {
    "write": "evalharness.report.folder:write",
    "html": "evalharness.report.page:render",
    "forest": "evalharness.report.figures:forest",
    "tradeoff": "evalharness.report.figures:tradeoff",
    "curves": "evalharness.report.curves:curves",
    "trajectories": "evalharness.report.trajectories:trajectories",
}
