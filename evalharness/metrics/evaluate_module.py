"""Score by a module of the `evaluate` library, by local path or by name: one number for all predictions, never a gate.

Its code is run as it is (a local file, or one from the hub), which is what naming it with `hf_evaluate: true` or by
path asks for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import evaluate

from evalharness.errors import TaskError, first_line
from evalharness.metrics.base import Opaque, options_of
from evalharness.records.measurements import Metric, Prediction
from evalharness.records.tasks import MetricSpec

OURS = ("key", "low", "high")


def evaluate_module(spec: MetricSpec) -> Metric:
    """Load the module now, so that a missing one is found before any model runs. Raises TaskError.

    It is handed all predictions: chosen indices for ranked tasks, texts for generated ones; references are one index or
    text per prediction, or lists of texts where an example has several. Options: key (which number to take where there
    are several), low and high (for display), higher_is_better; all others are handed to the module's `compute`.
    """
    options = options_of(spec, spec.options)
    module = _loaded(spec.name)
    arguments = {key: value for key, value in options.items() if key not in OURS}

    def value(predictions: Sequence[Prediction]) -> float:
        outputs, references = _columns(predictions)
        try:
            scores = module.compute(predictions=outputs, references=references, **arguments)
        except Exception as error:  # foreign code: whatever it raises is a failure of this metric, not of the run
            what = f"the module failed: {type(error).__name__}: {first_line(error)}"
            raise TaskError(f"metric {spec.id}", what) from error
        return _number(spec.id, scores or {}, options.get("key"))

    content = getattr(module, "_hash", None) or "unknown"
    return Opaque(
        id=spec.id,
        signature=f"evaluate|{module.name}|content:{content[:12]}|evaluate:{evaluate.__version__}",
        low=float(options.get("low", 0.0)),
        high=float(options.get("high", 1.0)),
        higher_is_better=bool(spec.options.get("higher_is_better", True)),
        value=value,
    )


def _loaded(name: str) -> Any:
    try:
        return evaluate.load(name, keep_in_memory=True)
    except Exception as error:  # absent, hub away, or foreign code that does not import: one answer for all
        what = f"no module of `evaluate` could be loaded: {type(error).__name__}: {first_line(error)}"
        fix = "a path to its folder, or a hub name while online, would be right"
        if Path(name).exists():
            fix = "its file exists but cannot be run"
        raise TaskError(f"metric {name}", what, fix) from error


def _columns(predictions: Sequence[Prediction]) -> tuple[list[Any], list[Any]]:
    """The columns that the module is given: outputs, and references in the simplest form that holds them all."""
    examples = [prediction.example for prediction in predictions]
    if predictions and predictions[0].choice is not None:
        return [prediction.choice for prediction in predictions], [example.gold[0] for example in examples]
    one = all(len(example.references) == 1 for example in examples)
    references = [example.references[0] if one else list(example.references) for example in examples]
    return [prediction.text or "" for prediction in predictions], references


def _number(where: str, scores: Mapping[str, Any], key: str | None) -> float:
    if key is None and len(scores) == 1:
        key = next(iter(scores))
    if key is None or key not in scores:
        what = f"the module returned {', '.join(scores) or 'nothing'}"
        raise TaskError(f"metric {where}", what, "`key:` names the one to take")
    value = scores[key]
    if not isinstance(value, Real) or not math.isfinite(float(value)):
        raise TaskError(f"metric {where}", f"{key} is {value!r}", "a single finite number would be right")
    return float(value)
