"""Hash values, bytes and files, and draw random numbers that depend on content alone.

Equal content has the same hash and the same draw on every machine.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
SHORT = 12  # hexadecimal digits of a digest that is shortened


def of_bytes(data: bytes) -> str:
    """Return the SHA-256 of the bytes, 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def of_value(value: Any) -> str:
    """Return the SHA-256 of a JSON-like value; the order of keys does not matter. Raises ValueError for NaN, TypeError
    for other types.
    """
    return of_bytes(CANONICAL.encode(value).encode())


def short(digest: str) -> str:
    """Return the first 48 bits of a digest, for files that must be small."""
    return digest[:SHORT]


def agree(one: str, other: str) -> bool:
    """Return whether two digests are the same. Either of them may be shortened."""
    length = min(len(one), len(other))
    return one == other or (length >= SHORT and one[:length] == other[:length])


def of_file(path: Path) -> str:
    """Return the SHA-256 of a file's content. Raises OSError as `open` does."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def uniform_hash(value: Any) -> float:
    """Return a pseudorandom number in [0, 1) that depends only on the JSON-like value."""
    return int(of_value(value)[:13], 16) / 16**13
