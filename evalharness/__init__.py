"""What did this checkpoint forget, compared with the model it came from, and may it ship?

    import evalharness
    results = evalharness.evaluate(["runs/my-lora"], suite="forgetting", data_dir="data")

`evaluate` is what the command `evalharness run` stands on; names here are imported when they are first used.
"""

from __future__ import annotations

import importlib
import logging
from typing import Any

__version__ = "0.1.0"

# It says, whenever peft imports it on a CPU, that an optional kernel is not installed. What it cannot do, it raises.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)

FACE = {
    "evaluate": "evalharness.pipeline.face:evaluate",
    "Results": "evalharness.records.findings:Results",
    "Comparison": "evalharness.records.findings:Comparison",
    "EvalHarnessError": "evalharness.errors:EvalHarnessError",
    "ForgettingCallback": "evalharness.campaigns.callback:ForgettingCallback",
}
__all__ = ["Comparison", "EvalHarnessError", "ForgettingCallback", "Results", "__version__", "evaluate"]


def __getattr__(name: str) -> Any:
    if name not in FACE:
        raise AttributeError(f"module 'evalharness' has no attribute {name!r}")
    module, _, attribute = FACE[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
