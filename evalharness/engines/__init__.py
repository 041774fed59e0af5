"""Name the engines. Values are factories: objects with `describe` and `open` (base.py)."""

REGISTRY = {"hf": "evalharness.engines.hf.engine:FACTORY", "scripted": "evalharness.engines.scripted:FACTORY"}
