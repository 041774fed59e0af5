"""What prompts need of a model's tokenizer: how many tokens a text has, and its chat template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable


class Unrenderable(ValueError):
    """Turns that a chat template refuses; the message is its reason."""


class ChatRenderer(Protocol):
    """A model's own chat template. Those that render alike have one fingerprint."""

    @property
    def fingerprint(self) -> str: ...

    @property
    def takes_system(self) -> bool:
        """Does what a system turn says reach the prompt?"""
        ...

    def render(self, messages: Sequence[Mapping[str, str]], continued: bool) -> str:
        """Messages ({"role": "system", "user" or "assistant", "content": text}) to a prompt that ends with the opening
        of the model's turn, or, `continued`, inside the last message. Raises Unrenderable.
        """
        ...


class TokenCounter(Protocol):
    def __call__(self, text: str) -> int: ...


@runtime_checkable
class TokenSplitter(Protocol):
    """An optional capability of a counter: the tokens themselves, without the special tokens around a text."""

    def token_ids(self, text: str) -> tuple[int, ...]: ...
