"""Checkpoints as files: recognised, fingerprinted, verified, loaded. `REGISTRY` are the pieces that need heavy
libraries.
"""

REGISTRY = {
    "fetch": "evalharness.checkpoints.hub:fetch",
    "load": "evalharness.checkpoints.weights:load",
    "verify": "evalharness.checkpoints.verify:verify",
    "differences": "evalharness.checkpoints.differences:differences",
    "attach": "evalharness.checkpoints.adapters:attach",
    "merged": "evalharness.checkpoints.merging:merged",
    "unmergeable": "evalharness.checkpoints.merging:unmergeable",
    "layout": "evalharness.checkpoints.adapters:layout",
}
