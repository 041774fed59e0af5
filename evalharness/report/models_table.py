"""Tabulate the models of a run: size, target, and what they gained on it."""

from __future__ import annotations

from dataclasses import dataclass

from evalharness.records.results import ModelRow, Results
from evalharness.report import wording


@dataclass(frozen=True, slots=True)
class ModelView:
    """One model. `candidate`: it has a mark; sizes are "–" where they are not known, as for logs of other tools."""

    name: str
    candidate: bool
    kind: str
    fingerprint: str
    parameters: str
    trainable: str
    share: str
    size: str
    target: str
    gain: str
    learned: bool | None
    learned_words: str


def models_table(results: Results) -> list[ModelView]:
    """All models, in their order."""
    candidates = results.candidates
    return [_view(model, model.name in candidates and model.base is not None) for model in results.models]


def _view(model: ModelRow, candidate: bool) -> ModelView:
    sized, trained = bool(model.parameters), bool(model.parameters) and model.base is not None
    return ModelView(
        name=model.name,
        candidate=candidate,
        kind=wording.kind_words(model.kind),
        fingerprint=wording.one_line(model.fingerprint),
        parameters=f"{model.parameters:,}" if sized else wording.NONE,
        trainable=f"{model.trainable:,}" if trained else wording.NONE,
        share=wording.percent(model.trainable_share) if trained else wording.NONE,
        size=wording.in_bytes(model.bytes) if sized else wording.NONE,
        target=wording.one_line(model.target_task or wording.NONE),
        gain=gain_of(model) or wording.NONE,
        learned=model.learned_target,
        learned_words=learned_words(model),
    )


def unmeasured_targets(results: Results) -> list[str]:
    """Names of the candidates whose gain on their target is not known."""
    return [model.name for model in results.models if model.judged and model.target_gain is None]


def gain_of(model: ModelRow) -> str:
    """The gain on the target with its interval; empty where it was not measured."""
    gain = model.target_gain
    return "" if gain is None else wording.with_interval(gain, wording.places_for((gain.value, gain.low, gain.high), 2))


def learned_words(model: ModelRow) -> str:
    """Did it learn what it was trained for?"""
    if model.base is None:
        return wording.NONE
    if model.target_task is None:
        return "target not known" if model.judged else wording.NONE
    if model.learned_target is None:
        return "not measured" if model.target_gain is None else "cannot be told"
    return "learned" if model.learned_target else "did not learn"
