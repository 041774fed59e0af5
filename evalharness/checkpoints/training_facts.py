"""Read from training.json the facts of a candidate's training that results show. Malformed ones are left out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evalharness.checkpoints import files
from evalharness.records.models import Method

FACTS = (
    *("method", "learning_rate", "rank", "alpha", "targets", "virtual_tokens"),
    *("steps", "seed", "seconds", "examples", "replay", "after", "precision"),
)
SECTIONS = ("recipe", "data")  # objects in training.json that are searched after its own keys
OF_RANK = ("rank", "alpha", "targets")
FULL_WEIGHTS = (Method.FULL, Method.BITFIT, Method.LAYERS)  # methods that leave full weights
WITH_TOKENS = (Method.PROMPT, Method.PREFIX, Method.P_TUNING)
WITHOUT_RANK = (*FULL_WEIGHTS, *WITH_TOKENS, Method.IA3)
OF_THE_END = ("steps", "seconds")  # of the finished training, not of an intermediate checkpoint


def training_facts(directory: Path) -> dict[str, Any]:
    """Return the FACTS that training.json states and that apply to its method.

    For a checkpoint-N folder they are read from the folder above.
    """
    training, place = files.training_record(directory)
    if isinstance(stage := training.get("after"), dict):  # the name of the stage before is enough
        training = {**training, "after": stage.get("name") or stage.get("path")}
    sections = [training, *(training[key] for key in SECTIONS if isinstance(training.get(key), dict))]
    facts = {key: next((part[key] for part in sections if _is_fact(part.get(key))), None) for key in FACTS}
    return {
        key: value
        for key, value in facts.items()
        if value is not None and _applies(key, facts["method"], place == directory)
    }


def trained_parameters(directory: Path, parameters: int | None, kind: str = "") -> int:
    """Return the number of parameters that the training could change, from training.json.

    It is 0 if the file does not state it, or is about another model. The weights do not tell: full weights have all
    parameters, and of virtual tokens made by a network only the tokens are saved. `parameters` is the number in full
    weights; None for an adapter, which must be of the `kind` that the training made.
    """
    training, _ = files.training_record(directory)
    trained, whole, method = (training.get(key) for key in ("trainable", "parameters", "method"))
    if isinstance(trained, bool) or not isinstance(trained, int) or not isinstance(whole, int):
        return 0
    same = method == kind if parameters is None else method in FULL_WEIGHTS and whole == parameters
    return trained if same and 0 < trained <= whole else 0


def _applies(key: str, method: Any, finished: bool) -> bool:
    if key == "targets" and method == Method.IA3:
        return True
    if key in OF_RANK:
        return method not in WITHOUT_RANK
    if key == "virtual_tokens":
        return method in WITH_TOKENS
    return finished or key not in OF_THE_END


def _is_fact(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, Mapping):
        return bool(value) and all(_is_fact(item) and not isinstance(item, Mapping | list) for item in value.values())
    if isinstance(value, list):
        return bool(value) and all(isinstance(item, str | int) for item in value)
    return isinstance(value, str | int) and value != ""
