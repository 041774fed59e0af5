"""Name content by its hash (a value, a text, a file), and draw random numbers that hang on content alone.

Equal content has the same name, and the same draws, on every machine.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np


def of_bytes(data: bytes) -> str:
    """SHA-256 of the bytes, 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def of_value(value: Any) -> str:
    """SHA-256 of a JSON-like value, whatever the order of its keys. Raises ValueError for NaN, TypeError for other
    types.
    """
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return of_bytes(text.encode())


def of_file(path: Path) -> str:
    """SHA-256 of a file's content. Raises OSError as `open` does."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def uniform_hash(value: Any) -> float:
    """A number in [0, 1) that depends on nothing but the JSON-like value: the same whenever it is drawn again."""
    return int(of_value(value)[:13], 16) / 16**13


def generator(value: Any) -> np.random.Generator:
    """Random numbers that depend on nothing but the JSON-like value (a seed and names of what is drawn)."""
    return np.random.default_rng(int(of_value(value)[:16], 16))
