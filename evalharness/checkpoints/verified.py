"""Verify a checkpoint once while its files, its base's, our code and the libraries stay the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from evalharness import registry
from evalharness.checkpoints import REGISTRY, files, fingerprint
from evalharness.checkpoints.conclusions import conclude_once
from evalharness.checkpoints.derived import check_unchanged
from evalharness.checkpoints.kinds import PLACEBO
from evalharness.checkpoints.served import notices_of
from evalharness.records.models import Checkpoint


def verify_once(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Verify a checkpoint, and return the notices of `verify.verify`, which are remembered.

    For a model behind a server, return notices about how reliably it is recognised. Raises ModelError as
    `verify.verify` does; an error is not remembered.
    """
    if checkpoint.endpoint:
        return notices_of(checkpoint)
    if checkpoint.adapter == PLACEBO:
        return ()  # all its files are its base's
    inputs = {name: str(value) for name, value in asdict(checkpoint).items()}
    notices = conclude_once("verification", _read(checkpoint), inputs, lambda: list(_verify(checkpoint)))
    check_unchanged(checkpoint)
    return tuple(notices)


def _verify(checkpoint: Checkpoint) -> tuple[str, ...]:
    notices: tuple[str, ...] = registry.find(REGISTRY, "verify", "checkpoint step")(checkpoint)
    return notices


def _read(checkpoint: Checkpoint) -> Iterator[Path]:
    """Return the files that verification reads."""
    for place in {checkpoint.path, checkpoint.weights, checkpoint.base or checkpoint.path}:
        yield from fingerprint.covered(place)
        yield from files.weight_files(place)
        recorded = files.training_record(place)[1]
        yield from (recorded / name for name in files.RECORDS if (recorded / name).is_file())
