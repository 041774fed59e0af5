"""Train a candidate from a base and solved examples: all weights, some of them, adapters or soft prompts. Never
evaluates.
"""

REGISTRY = {"train": "evalharness.training.loop:train", "check": "evalharness.training.start:check_machine"}
