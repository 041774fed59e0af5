"""Derive checkpoints from a recognised one: the same at another precision, and what is measured beside a base."""

from __future__ import annotations

from dataclasses import replace

from evalharness.checkpoints import files, fingerprint
from evalharness.checkpoints.kinds import PLACEBO
from evalharness.checkpoints.precision import ON_LOADING, precision_of
from evalharness.errors import ModelError
from evalharness.records.models import Checkpoint, ModelKind


def at_precision(checkpoint: Checkpoint, precision: str) -> Checkpoint:
    """Return the same checkpoint, its full weights (an adapter's base's) quantised to `precision` on loading; "" is as
    the files hold them.

    Raises ModelError for an unknown precision, and where the files themselves are quantised in another way.
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


def refuse_changed(checkpoint: Checkpoint) -> None:
    """Raise ModelError unless the checkpoint's files have the identity, and say of its window and architecture, what
    they did when it was recognised.
    """
    config = files.model_config(checkpoint.weights)
    stated = files.window_of(config), files.architecture_of(config)
    same = at_precision(checkpoint, checkpoint.precision).fingerprint == checkpoint.fingerprint
    if not same or stated != (checkpoint.window, checkpoint.architecture):
        raise ModelError(checkpoint.path, fingerprint.CHANGED, fingerprint.ONCE_WRITTEN)


def unquantised_of(base: Checkpoint) -> Checkpoint:
    """Return the base as its files hold it, to be measured beside the base that is quantised on loading. Raises
    ModelError where the files are quantised.
    """
    return replace(at_precision(base, ""), name="unquantised", kind=ModelKind.UNQUANTISED, base=base.path)


def placebo_of(base: Checkpoint) -> Checkpoint:
    """Return the base behind an adapter that changes nothing: what differs from the base then is noise of the
    measurement.
    """
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
