"""Compare the full weights in two directories, however they are split into files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evalharness.checkpoints import files, fingerprint
from evalharness.checkpoints.files import TensorFacts

CHUNK = 1 << 20  # bytes


def same_weights(one: Path, other: Path) -> bool:
    """Return whether all tensors are equal in name, type, shape and values. Reading ends at the first difference."""
    if fingerprint.of_tensors(one) == fingerprint.of_tensors(other):
        return True
    first, second = _places(one), _places(other)
    if {name: facts for name, (_, facts) in first.items()} != {name: facts for name, (_, facts) in second.items()}:
        return False
    chunks = ((_chunks(*first[name]), _chunks(*second[name])) for name in first)
    return all(a == b for pair in chunks for a, b in zip(*pair, strict=True))


def _places(directory: Path) -> dict[str, tuple[Path, TensorFacts]]:
    paths = files.weight_files(directory)
    return {name: (path, facts) for path in paths for name, facts in files.tensors(path).items()}


def _chunks(path: Path, facts: TensorFacts) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(facts.begin)
        for at in range(facts.begin, facts.end, CHUNK):
            yield file.read(min(CHUNK, facts.end - at))
