"""Describe a model behind a server for `checkpoint show`: what the server says, and how the model answers probes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from evalharness.checkpoints.discover import base_of
from evalharness.checkpoints.served import notices_of
from evalharness.openai_api.probes import PROMPTS
from evalharness.records.models import Checkpoint

FACTS = ("name", "kind", "endpoint", "fingerprint", "parameters", "trainable", "bytes", "window")
UNKNOWN = "unknown (the server does not say)"
FEW = 4  # probes whose answers are shown


def served_facts(checkpoint: Checkpoint) -> dict[str, Any]:
    """Collect the facts to show as JSON values; what the server does not say is None."""
    probes = checkpoint.probes
    assert probes is not None
    return {
        **{name: getattr(checkpoint, name) for name in FACTS},
        "base": base_of(checkpoint.endpoint),
        "with_logprobs": probes.with_logprobs,
        "noise": probes.noise if probes.with_logprobs else None,
        "unsteady": len(probes.unsteady),
        "probes": {prompt: answer.text for prompt, answer in zip(PROMPTS, probes.answers, strict=True)},
        "notices": list(notices_of(checkpoint)),
    }


def served_lines(checkpoint: Checkpoint) -> Iterator[str]:
    """Yield the facts of `served_facts` as lines, with a few of the probes."""
    facts = served_facts(checkpoint)
    by_texts = f"the texts of {len(PROMPTS)} short answers"
    lines = {
        "kind": "a model behind a server",
        "address": checkpoint.endpoint,
        "base": facts["base"] or "– (the server names none)",
        "fingerprint": checkpoint.fingerprint,
        "parameters": UNKNOWN,
        "window": checkpoint.window or UNKNOWN,
        "identified by": f"{by_texts} and their log-probabilities" if facts["with_logprobs"] else by_texts,
        "noise": f"{facts['noise']:.2g} nats between two answers" if facts["with_logprobs"] else None,
    }
    yield checkpoint.name
    yield from (f"  {key:15} {value}" for key, value in lines.items() if value is not None)
    yield from (f"  {prompt!r}: {text!r}" for prompt, text in list(facts["probes"].items())[:FEW])
    yield from (f"  note: {notice}" for notice in facts["notices"])
