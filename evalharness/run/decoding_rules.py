"""Report where the candidates' generation configs differ from their base's, and whose decoding rules are used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from evalharness.engines.base import EngineFactory, GenerationConfigs
from evalharness.records.models import RulesFrom
from evalharness.run.plan import RunPlan

TOKEN = "_token_id"  # ends the names of special tokens
FORCED = "forced_"
EFFECT: Mapping[RulesFrom, str] = {
    "base": "all are decoded by the base's rules (--generation-config own: each by its own)",
    "own": "each is decoded by its own rules, and rows of written answers are flagged",
    "plain": "all are decoded without either's rules",
}


def with_decoding_rules(run_plan: RunPlan, factory: EngineFactory, rules_from: RulesFrom) -> RunPlan:
    """Add a notice for each model whose generation config differs from its base's, and name the models that are decoded
    by other rules than their base. Raises ModelError for a config that cannot be read.
    """
    notices, decoded_otherwise = [], []
    for name, different in _differences(run_plan, factory).items():
        listed = ", ".join(f"{key} {_text(own)} (base: {_text(base)})" for key, (base, own) in different.items())
        ruled = any(map(_is_rule, different))
        effect = EFFECT[rules_from] if ruled else "each model's end token ends its answers"
        notices.append(f"{name}: its generation config has {listed}; {effect}")
        decoded_otherwise += [name] if ruled and rules_from == "own" else []
    return replace(run_plan, notices=(*run_plan.notices, *notices), decoded_otherwise=tuple(decoded_otherwise))


def _differences(run_plan: RunPlan, factory: EngineFactory) -> dict[str, Mapping[str, tuple[Any, Any]]]:
    if not isinstance(factory, GenerationConfigs):
        return {}
    of_models = {checkpoint.name: factory.generation_differences(checkpoint) for checkpoint in run_plan.checkpoints}
    return {name: different for name, different in of_models.items() if different}


def _is_rule(key: str) -> bool:
    return key.startswith(FORCED) or not key.endswith(TOKEN)


def _text(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
