"""Cache values computed from texts, so that metrics and models with the same texts compute them once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")


class Remembered(dict[str, Value]):
    """The cached values that `make` returns for texts.

    The cache is cleared when its texts have more than `most` characters in all.
    """

    def __init__(self, make: Callable[[str], Value], most: int) -> None:
        super().__init__()
        self.make, self.most, self.characters = make, most, 0

    def __missing__(self, text: str) -> Value:
        if self.characters > self.most:
            self.clear()
            self.characters = 0
        self.characters += len(text)
        value = self[text] = self.make(text)
        return value
