"""Engines by name. Values are factories: objects with `describe`, `open`, `token_counter` and `chat_renderer`."""

REGISTRY = {"hf": "evalharness.engines.hf.engine:FACTORY"}
