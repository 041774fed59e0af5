"""Register the engines and their options.

Values of `REGISTRY` are factories: objects with `describe` and `open` (base.py).
"""

REGISTRY = {
    "hf": "evalharness.engines.hf.factory:FACTORY",
    "vllm": "evalharness.engines.vllm.factory:FACTORY",
    "openai": "evalharness.engines.openai.factory:FACTORY",
    "ray": "evalharness.engines.ray.factory:FACTORY",
    "scripted": "evalharness.engines.scripted:FACTORY",
}
OF_FILES = ("hf", "scripted", "vllm")  # engines that read checkpoint files
OF_SERVERS = ("openai",)  # engines that ask servers
OPTIONS: dict[str, tuple[str, ...]] = {
    "hf": (),
    "vllm": ("gpu_memory_utilization", "tensor_parallel_size", "max_model_len", "max_lora_rank", "enforce_eager"),
    "openai": (
        *("tokenizer", "endpoint", "window", "dtype"),
        *("concurrency", "timeout", "attempts", "wait", "most_requests"),
    ),
    "ray": ("address", "cpus", "engine", "gpus", "threads", "wait", "workers"),  # and the options of its own `engine`
    "scripted": ("answers", "samples"),
}
