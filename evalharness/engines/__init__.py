"""Name the engines, and the options that each of ours has. Values of `REGISTRY` are factories: objects with `describe`
and `open` (base.py).
"""

REGISTRY = {"hf": "evalharness.engines.hf.factory:FACTORY", "scripted": "evalharness.engines.scripted:FACTORY"}
OPTIONS: dict[str, tuple[str, ...]] = {"hf": (), "scripted": ("answers", "samples")}
