"""Answer with transformers on this machine, for decoder-only and encoder-decoder models and adapters on them.
`REGISTRY` are the pieces that need torch.
"""

REGISTRY = {"open": "evalharness.engines.hf.engine:open_engine", "processor": "evalharness.engines.hf.engine:processor"}
