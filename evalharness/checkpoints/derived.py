"""Derive checkpoints from a recognised one: at another precision, and the references of a base."""

from __future__ import annotations

from dataclasses import replace

from evalharness.checkpoints import files, fingerprint
from evalharness.checkpoints.kinds import PLACEBO
from evalharness.checkpoints.precision import ON_LOADING, precision_of
from evalharness.errors import ModelError
from evalharness.records.models import Checkpoint, ModelKind


def at_precision(checkpoint: Checkpoint, precision: str) -> Checkpoint:
    """Return the same checkpoint with its full weights (for an adapter, its base's) quantised to `precision` on
    loading.

    With "" the weights are as in the files. Raises ModelError for an unknown precision, and if the files themselves
    are quantised in another way.
    """
    directory = checkpoint.weights
    stored = precision_of(directory / files.CONFIG, files.model_config(directory))
    if stored and precision != stored:
        raise ModelError(
            directory, f"its files hold weights quantised to {stored}", "give the weights before quantisation"
        )
    if precision and not stored and precision not in ON_LOADING:
        raise ModelError(
            directory, f"cannot be quantised to {precision!r} on loading", f"one of {', '.join(ON_LOADING)}"
        )
    identity = fingerprint.of_quantised(fingerprint.of_weights(directory), "" if stored else precision)
    if checkpoint.adapter == PLACEBO:
        identity = fingerprint.of_placebo(identity)
    elif checkpoint.adapter:
        identity = fingerprint.of_adapter(checkpoint.path, identity, checkpoint.adapter_task)
    return replace(checkpoint, precision=precision, fingerprint=identity)


def check_unchanged(checkpoint: Checkpoint) -> None:
    """Raise ModelError unless the checkpoint's files still have the identity, window and architecture with which it was
    recognised.
    """
    config = files.model_config(checkpoint.weights)
    stated = files.window_of(config), files.architecture_of(config)
    same = at_precision(checkpoint, checkpoint.precision).fingerprint == checkpoint.fingerprint
    if not same or stated != (checkpoint.window, checkpoint.architecture):
        raise ModelError(checkpoint.path, fingerprint.CHANGED, fingerprint.ONCE_WRITTEN)


def unquantised_of(base: Checkpoint) -> Checkpoint:
    """Return the base without quantisation, as a reference for a base that is quantised on loading.

    Raises ModelError if its files are quantised.
    """
    return replace(at_precision(base, ""), name="unquantised", kind=ModelKind.UNQUANTISED, base=base.path)


def placebo_of(base: Checkpoint) -> Checkpoint:
    """Return the base behind an adapter that changes nothing: its differences from the base are the engine's noise."""
    return replace(
        base,
        name="placebo",
        kind=ModelKind.PLACEBO,
        base=base.path,
        fingerprint=fingerprint.of_placebo(base.fingerprint),
        adapter=PLACEBO,
        trainable=0,
        bytes=0,
    )
