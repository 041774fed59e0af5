"""Recognise a model behind a server by its answers: the same weights at another address are the same model."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from evalharness import fingerprint, openai_api, registry
from evalharness.checkpoints import memory
from evalharness.checkpoints.naming import CheckpointSpec
from evalharness.openai_api.limits import RequestLimits
from evalharness.openai_api.location import ServedLocation
from evalharness.openai_api.probes import PROMPTS, TOKENS, same, tolerance_of
from evalharness.records.models import Checkpoint, ModelKind
from evalharness.records.probe_answers import ProbeAnswers

STEP = "served model"
MOST = 64  # models remembered per window and tokenizer, the newest
COARSE = 5e-4  # nats; with more noise, one step of training cannot be seen


def check_offered(location: ServedLocation) -> None:
    """Raise ModelError unless the server answers and has the model."""
    registry.find(openai_api.REGISTRY, "offered", STEP)(location)


def recognise_served(
    spec: CheckpointSpec, is_base: bool, limits: RequestLimits | None = None, by_chat: bool = False
) -> Checkpoint:
    """Identify the model behind an address by its answers to fixed prompts, and return it as a Checkpoint.

    `is_base`: it is the base of the run; `by_chat`: its answers are those in the server's chat template. Its sizes are
    None, because a server does not state them. Raises ModelError if it does not answer, or answers differently when
    asked again.
    """
    location = spec.served
    assert location is not None
    facts = registry.find(openai_api.REGISTRY, "look_at", STEP)(location, by_chat, limits)
    return Checkpoint(
        name=spec.name_in(Path()),
        kind=ModelKind.BASE if is_base else ModelKind.SERVED,
        path=Path(),
        base=None,
        fingerprint=identity_of([facts.window, facts.tokenizer], facts.probes),
        parameters=None,
        trainable=0 if is_base else None,
        bytes=None,
        window=facts.window,
        endpoint=location.text,
        probes=facts.probes,
    )


def identity_of(stated: list[object], probes: ProbeAnswers) -> str:
    """Return the fingerprint of the remembered model that has the same facts and, within noise, the same answers.

    If there is none, a new fingerprint is returned and remembered.
    """
    store, key = memory.current(), ["served model", 1, TOKENS, PROMPTS, stated]
    remembered = (store.recall(key) if store else None) or []
    for name, old_answers in remembered:
        before = ProbeAnswers.from_json(old_answers)
        if before is not None and same(before, probes):
            return str(name)
    answers = dataclasses.asdict(probes)
    name = fingerprint.of_value([*key, answers])
    if store:
        store.keep(key, [*remembered, [name, answers]][-MOST:])
    return name


def notices_of(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return notices about how reliably a served model is distinguished from others."""
    probes = checkpoint.probes
    if probes is None:
        return ()
    if not probes.with_logprobs:
        what = "its server gives no log-probabilities that can be compared: it is told from other weights by the texts"
        more = f", {len(probes.unsteady)} of which change from one time to the next" if probes.unsteady else ""
        alone = f"of {len(PROMPTS)} short answers alone{more}; weights that write the same there are taken for the same"
        return (f"{checkpoint.name}: {what} {alone}",)
    if (tolerance := tolerance_of(probes, probes)) > COARSE:
        what = f"its server's own noise is {probes.noise:.2g} nats: weights that move log-probabilities by less than"
        return (f"{checkpoint.name}: {what} {tolerance:.2g} are taken for the same",)
    return ()


def answer_alike(one: ProbeAnswers | None, other: ProbeAnswers | None) -> bool:
    """Return whether two served models give the same answers to the probes."""
    return one is not None and other is not None and same(one, other)
