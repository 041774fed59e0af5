"""Answer with vLLM in this process, for decoder-only models and LoRA adapters on them. `REGISTRY` are the pieces that
need vllm.
"""

REGISTRY = {"open": "evalharness.engines.vllm.engine:open_engine"}
