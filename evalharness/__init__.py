"""What did this checkpoint forget, compared with the model it came from, and may it ship?

    import evalharness
    results = evalharness.evaluate(["runs/my-lora"], suite="forgetting", data_dir="data")
    results.gate().exit_code  # 0: it may ship

The command `evalharness run` calls `evaluate`. Names of this module are imported when they are first used.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from evalharness import registry

if TYPE_CHECKING:
    from evalharness.api import compare, evaluate, gate, load, merge, plan
    from evalharness.errors import EvalHarnessError
    from evalharness.experiments.callback import ForgettingCallback
    from evalharness.notebook import RunResults as Results
    from evalharness.records.comparison import Comparison
    from evalharness.searches import bisect, engine_check, repair

__version__ = "0.1.0"

# on a CPU it warns of a missing optional kernel at every import; what it cannot do, it raises
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)

PUBLIC = {
    "bisect": "evalharness.searches:bisect",
    "compare": "evalharness.api:compare",
    "engine_check": "evalharness.searches:engine_check",
    "evaluate": "evalharness.api:evaluate",
    "gate": "evalharness.api:gate",
    "load": "evalharness.api:load",
    "merge": "evalharness.api:merge",
    "plan": "evalharness.api:plan",
    "repair": "evalharness.searches:repair",
    "Results": "evalharness.notebook:RunResults",
    "Comparison": "evalharness.records.comparison:Comparison",
    "EvalHarnessError": "evalharness.errors:EvalHarnessError",
    "ForgettingCallback": "evalharness.experiments.callback:ForgettingCallback",
}
__all__ = [
    "Comparison",
    "EvalHarnessError",
    "ForgettingCallback",
    "Results",
    "__version__",
    "bisect",
    "compare",
    "engine_check",
    "evaluate",
    "gate",
    "load",
    "merge",
    "plan",
    "repair",
]


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"module 'evalharness' has no attribute {name!r}")
    return registry.find(PUBLIC, name, "attribute")


def __dir__() -> list[str]:
    return sorted(__all__)
