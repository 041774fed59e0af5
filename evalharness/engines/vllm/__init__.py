"""Answer with vLLM in this process: decoder-only models, with or without LoRA adapters.

`REGISTRY` names the functions that need vllm.
"""

REGISTRY = {"open": "evalharness.engines.vllm.engine:open_engine"}
