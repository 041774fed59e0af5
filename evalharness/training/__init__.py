"""Train a candidate from a base and solved examples: all weights, some of them, adapters or soft prompts.

No file of this package evaluates a model.
"""

REGISTRY = {
    "check": "evalharness.training.loop:check",
    "check_hub": "evalharness.training.publish:check_hub",
    "push": "evalharness.training.publish:push",
    "memory": "evalharness.training.memory_trace:forecast",
}
