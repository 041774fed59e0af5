"""What prompts need of a model's tokenizer: counting tokens and the chat template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable


class Unrenderable(ValueError):
    """A chat template refuses the messages; the text is its reason."""


class ChatRenderer(Protocol):
    """A model's own chat template. Templates that render alike have the same fingerprint."""

    @property
    def fingerprint(self) -> str: ...

    @property
    def takes_system(self) -> bool:
        """Return whether the text of a system message reaches the prompt."""
        ...

    def render(self, messages: Sequence[Mapping[str, str]], continued: bool) -> str:
        """Return the prompt of messages ({"role": "system", "user" or "assistant", "content": text}).

        The prompt ends with the opening of the model's turn or, if `continued`, inside the last message. Raises
        Unrenderable.
        """
        ...


class TokenCounter(Protocol):
    def __call__(self, text: str) -> int: ...


@runtime_checkable
class TokenSplitter(Protocol):
    """A counter that also gives the tokens themselves, without the special tokens around a text."""

    def token_ids(self, text: str) -> tuple[int, ...]: ...
