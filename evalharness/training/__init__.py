"""Solved examples to a candidate: all weights, some of them, adapters and soft prompts. Trains and never evaluates."""

REGISTRY = {"train": "evalharness.training.loop:train", "check": "evalharness.training.start:check_machine"}
