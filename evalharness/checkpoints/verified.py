"""Verify a checkpoint once for as long as its files, its base's and what verifies them stay the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from evalharness import registry
from evalharness.checkpoints import REGISTRY, files, fingerprint
from evalharness.checkpoints.conclusions import concluded
from evalharness.checkpoints.derived import refuse_changed
from evalharness.checkpoints.kinds import PLACEBO
from evalharness.checkpoints.served import notices_of
from evalharness.records.models import Checkpoint


def verified(checkpoint: Checkpoint) -> tuple[str, ...]:
    """The notices of `verify.verify`, whose outcome is remembered where it refuses nothing; of a model behind a server,
    how surely it is told from others. Raises ModelError as `verify.verify` does.
    """
    if checkpoint.endpoint:
        return notices_of(checkpoint)
    if checkpoint.adapter == PLACEBO:
        return ()  # it has no files but its base's
    given = {name: str(value) for name, value in asdict(checkpoint).items()}
    notices = concluded("verification", _read(checkpoint), given, lambda: list(_verify(checkpoint)))
    refuse_changed(checkpoint)
    return tuple(notices)


def _verify(checkpoint: Checkpoint) -> tuple[str, ...]:
    notices: tuple[str, ...] = registry.find(REGISTRY, "verify", "checkpoint step")(checkpoint)
    return notices


def _read(checkpoint: Checkpoint) -> Iterator[Path]:
    """The files that verification reads."""
    for place in {checkpoint.path, checkpoint.weights, checkpoint.base or checkpoint.path}:
        yield from fingerprint.covered(place)
        yield from files.weight_files(place)
        recorded = files.training_record(place)[1]
        yield from (recorded / name for name in files.RECORDS if (recorded / name).is_file())
