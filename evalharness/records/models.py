"""Checkpoints, and how an engine runs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from evalharness import fingerprint
from evalharness.records.probe_answers import ProbeAnswers


class ModelKind(StrEnum):
    """What a model is in a run, unless it is an adapter."""

    BASE = "base"
    FULL = "full"
    PLACEBO = "placebo"  # the base behind an adapter that changes nothing
    UNQUANTISED = "unquantised"  # the base, where it is quantised on loading
    IMPORTED = "imported"  # another tool's log of a candidate
    SERVED = "served"  # a candidate behind a server, which does not say how it was made


Kind = str  # a ModelKind, or how an adapter works ("lora", "prompt", "ia3", …: checkpoints.kinds)
RulesFrom = Literal["base", "own", "plain"]  # which generation config rules decoding: the base's, its own, none
REFERENCES = (ModelKind.PLACEBO, ModelKind.UNQUANTISED)  # measured beside candidates, described, and never judged


class Method(StrEnum):
    """How a candidate was trained, as its training.json says."""

    FULL = "full"
    LORA = "lora"
    QLORA = "qlora"
    IA3 = "ia3"
    PROMPT = "prompt"
    PREFIX = "prefix"
    P_TUNING = "p-tuning"
    BITFIT = "bitfit"
    LAYERS = "layers"


class Architecture(StrEnum):
    """Whether the model is decoder-only or encoder-decoder."""

    CAUSAL = "causal"  # decoder-only
    SEQ2SEQ = "seq2seq"  # encoder-decoder


NO_TARGET = "none"  # in place of a target's name: the candidate is declared to be trained for no task that is asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """One model, as files or behind a server.

    `fingerprint` identifies the content (weights, configurations, adapter, tokenizer, template) and the precision, or
    the answers of a served model; never name, path or address.
    """

    name: str
    kind: Kind
    path: Path
    base: Path | None  # the base's directory, for candidates
    fingerprint: str
    parameters: int | None  # of the whole model as it answers; None, here and below: a server does not say
    trainable: int | None  # of those, how many the candidate's training could change
    bytes: int | None  # that this candidate adds to the storage of its base
    window: int | None  # positions the model has; None: no limit known
    virtual_tokens: int = 0
    target_task: str | None = None  # what it was trained for, by training.json or --target; NO_TARGET; None: unknown
    architecture: Architecture = Architecture.CAUSAL
    adapter: str = ""  # peft's type ("LORA", "PREFIX_TUNING", …); "PLACEBO": it changes nothing; "": full weights
    precision: str = ""  # how its weights (an adapter's base's) are quantised: "nf4", "int8", …; "": not
    adapter_task: int | None = None  # the task whose prompt is used, of an adapter that learned several
    training: Mapping[str, Any] = field(default_factory=dict)  # of training.json: method, learning_rate, rank, seconds
    endpoint: str = ""  # URL#MODEL of a model behind a server, which has no files; "": it has
    probes: ProbeAnswers | None = field(default=None, repr=False, compare=False)  # of a server's model

    @property
    def place(self) -> str:
        """Return the address or path of the model, as text."""
        return self.endpoint or str(self.path)

    @property
    def weights(self) -> Path:
        """Return the directory of the full weights: for an adapter its base's, else its own."""
        return self.base if self.adapter and self.base is not None else self.path


NEAR_TIES = {"float32": 1e-4, "float16": 0.02, "bfloat16": 0.15}  # benchmarks/batch_invariance.py measures them


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """How an engine runs a model.

    `batch_size` is the largest number of rows in one forward pass, `batch_tokens` the largest number of rows × length.
    `generation_config` says whose rules of decoding are used: the base's for all models, each model's own, or none.
    `options` are the engine's own.
    """

    name: str = "hf"
    device: str = "auto"
    dtype: str = "float32"
    batch_size: int = 16
    batch_tokens: int = 2048
    generation_config: RulesFrom = "base"
    strict: bool = False  # every row alone, on one thread: the same bits in every batch
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def by_chat(self) -> bool:
        """Return whether the server puts prompts into its own chat template."""
        return self.options.get("endpoint") == "chat"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """Everything about an engine that can change a number.

    That is the version of its algorithm, device, dtype, attention, batch plan, threads and library versions.
    `unproven` lists the models for which the engine cannot prove that it applies their adapter; it is no part of the
    fingerprint.
    """

    name: str
    details: Mapping[str, Any]
    unproven: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        return fingerprint.of_value([self.name, dict(self.details)])

    @property
    def near_tie(self) -> float:
        """Return the difference of log-probabilities (nats) below which batches or threads can swap two choices."""
        return NEAR_TIES.get(str(self.details.get("dtype")), NEAR_TIES["float32"])

    @property
    def signature(self) -> dict[str, Any]:
        """Return the engine's entry in a run's signature."""
        unproven = {"adapter_check": dict.fromkeys(self.unproven, "not available")} if self.unproven else {}
        return {"name": self.name, "fingerprint": self.fingerprint, **self.details, **unproven}


def engine_differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """List what differs in the signatures of two engines, with both values; "" if nothing differs."""
    keys = [key for key in {**there, **here} if key not in ("fingerprint", "adapter_check")]
    return ", ".join(
        f"{key} {there.get(key, 'not recorded')} there, {here.get(key, 'not recorded')} here"
        for key in keys
        if there.get(key) != here.get(key)
    )
