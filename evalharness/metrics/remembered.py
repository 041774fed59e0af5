"""Keep what is made of texts, within bounds, so that metrics and models that read the same texts make it once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")


class Remembered(dict[str, Value]):
    """What `make` makes of texts, each made once until they have more than `most` characters in all: then all is
    forgotten.
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
