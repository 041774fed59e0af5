"""Answer with transformers on this machine: decoder-only and encoder-decoder models, with or without adapters.

`REGISTRY` names the functions that need torch.
"""

REGISTRY = {"open": "evalharness.engines.hf.engine:open_engine", "processor": "evalharness.engines.hf.engine:processor"}
