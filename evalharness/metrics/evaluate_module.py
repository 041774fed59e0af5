"""Score with a module of the `evaluate` library, by local path or by name.

Naming it with `hf_evaluate: true` or by path runs its code, from a local file or the hub. Without more, a module gives
one number for all predictions, which only describes. With `aggregation`, its score has rows, and the verdict can rest
on it: see evaluate_rows.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

import evaluate

from evalharness.errors import TaskError, first_line
from evalharness.metrics.base import Opaque, flag, options_of
from evalharness.metrics.evaluate_rows import JACKKNIFE, MEAN, ModuleJackknife, ModuleMean, has_rows
from evalharness.records.measurements import Metric, Prediction
from evalharness.records.tasks import MetricSpec
from evalharness.stats.enums import MetricKind

OURS = ("key", "low", "high")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModule:
    """A loaded module and its arguments. `key` names the number that counts if it returns several."""

    name: str
    module: Any
    arguments: Mapping[str, Any]
    key: str | None

    def score(self, predictions: Sequence[Prediction]) -> float:
        """Return the number for these predictions. If the module refuses one reference text each, it gets lists of
        them. Raises TaskError.
        """
        problem: TaskError | None = None
        for outputs, references in _forms(predictions):
            try:
                scores = self.module.compute(predictions=outputs, references=references, **self.arguments)
                return _number(self.name, scores or {}, self.key)
            except TaskError:
                raise
            except Exception as error:  # foreign code may raise anything
                what = f"the module failed: {type(error).__name__}: {first_line(error)}"
                problem = problem or TaskError(f"metric {self.name}", what)
        assert problem is not None, "there is at least one form"
        raise problem


def evaluate_module(spec: MetricSpec) -> Metric:
    """Load the module now, so that a missing one is found before any model runs. Raises TaskError.

    It gets all predictions: picked indices of ranked tasks, texts of generated ones; references are one index or text
    per prediction, or lists of texts if an example has several. Options: key (which of several numbers to use), low and
    high (the range of scores), higher_is_better, aggregation; all others are passed to the module's `compute`.
    """
    options = options_of(spec, spec.options)
    arguments = {key: value for key, value in options.items() if key not in OURS}
    module = _loaded(spec.name)
    loaded = LoadedModule(name=spec.id, module=module, arguments=arguments, key=options.get("key"))
    content, way = getattr(module, "_hash", None) or "unknown", spec.options.get("aggregation")
    signature = f"evaluate|{module.name}|content:{content[:12]}|evaluate:{evaluate.__version__}"
    higher = flag(spec, {"higher_is_better": True, **spec.options}, "higher_is_better")
    if not has_rows(spec.options):
        if way == JACKKNIFE:
            fix = "`low` or `high`, between which scores lie"
            raise TaskError(f"metric {spec.id}", "states no range of the scores to resample", fix)
        low, high = _ends(spec, options, (0.0, 1.0))
        return Opaque(id=spec.id, signature=signature, low=low, high=high, higher_is_better=higher, value=loaded.score)
    low, high = _ends(spec, options, (-math.inf, math.inf))
    kind, make = (MetricKind.GRADED, ModuleMean) if way == MEAN else (MetricKind.CORPUS, ModuleJackknife)
    return make(
        id=spec.id,
        kind=kind,
        signature=f"{signature}|agg:{way}",
        low=low,
        high=high,
        higher_is_better=higher,
        score_of=loaded.score,
    )


def _ends(spec: MetricSpec, options: Mapping[str, Any], usual: tuple[float, float]) -> tuple[float, float]:
    """Return the stated range of scores, else the usual one. Raises TaskError for an invalid range."""
    low, high = options.get("low", usual[0]), options.get("high", usual[1])
    if any(isinstance(end, bool) or not isinstance(end, int | float) for end in (low, high)) or not low < high:
        raise TaskError(f"metric {spec.id}", f"low is {low!r}, high is {high!r}", "two numbers, low the smaller one")
    return float(low), float(high)


def _loaded(name: str) -> Any:
    try:
        return evaluate.load(name, keep_in_memory=True)
    except Exception as error:  # missing, no hub, or foreign code that does not import
        what = f"no module of `evaluate` could be loaded: {type(error).__name__}: {first_line(error)}"
        fix = "a path to its folder, or a hub name while online, would be right"
        if Path(name).exists():
            fix = "its file exists but cannot be run"
        raise TaskError(f"metric {name}", what, fix) from error


def _forms(predictions: Sequence[Prediction]) -> list[tuple[list[Any], list[Any]]]:
    """Return the forms of outputs and references to try: one reference each, if all have one, and lists of
    references.
    """
    examples = [prediction.example for prediction in predictions]
    if predictions and predictions[0].choice is not None:
        return [([prediction.choice for prediction in predictions], [example.gold[0] for example in examples])]
    outputs = [prediction.text or "" for prediction in predictions]
    lists = (outputs, [list(example.references) for example in examples])
    if all(len(example.references) == 1 for example in examples):
        return [(outputs, [example.references[0] for example in examples]), lists]
    return [lists]


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
