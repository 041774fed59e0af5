"""Join the turns of a conversation to a prompt: plain, or in the model's own chat template.

Both are lm-eval 0.4.13's, byte for byte: in a plain prompt every turn is followed by its delimiter; in a template there
are delimiters only if shots and question are together in one turn of the user.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from evalharness.records.tokenizers import ChatRenderer


@dataclass(frozen=True, slots=True)
class Turn:
    """What one role says in a conversation, and the delimiter after it in a plain prompt."""

    role: Literal["system", "user", "assistant"]
    text: str
    after: str = ""


@dataclass(frozen=True, slots=True)
class Chat:
    """A model's chat template, and whether each shot is a turn of its own."""

    renderer: ChatRenderer
    multiturn: bool = True

    def prompt(self, turns: Sequence[Turn]) -> str:
        """Return the prompt up to the model's turn, or into that turn if the task states how the answer starts.

        Raises Unrenderable if the template refuses the turns.
        """
        merged = turns if self.multiturn else _together(turns)
        messages = [{"role": turn.role, "content": turn.text} for turn in merged]
        return self.renderer.render(messages, continued=turns[-1].role == "assistant")


def plain(turns: Sequence[Turn]) -> str:
    """Return the turns as one text."""
    return "".join(turn.text + turn.after for turn in turns)


def question(text: str, prefix: str, delimiter: str) -> tuple[Turn, ...]:
    """Return the turns of a question and, if there is one, the start of its answer.

    The delimiter is between the two unless there is white space.
    """
    if not prefix:
        return (Turn("user", text),)
    return Turn("user", text, delimiter if needs_gap(text, prefix) else ""), Turn("assistant", prefix)


def join_delimited(before: str, after: str, delimiter: str) -> str:
    """Join two texts with the delimiter, unless one of them is empty or there is white space between them."""
    if not before or not after:
        return before or after
    return before + (delimiter if needs_gap(before, after) else "") + after


def needs_gap(before: str, after: str) -> bool:
    """Return whether `before` is not empty and there is no white space between the two texts. `after` is not empty."""
    return before != "" and not (before[-1].isspace() or after[0].isspace())


def _together(turns: Sequence[Turn]) -> list[Turn]:
    """Merge shots and question into one turn of the user. The system message and the start of the answer do not
    change.
    """
    system = [turn for turn in turns[:1] if turn.role == "system"]
    answer = [turn for turn in turns[-1:] if turn.role == "assistant"]
    *before, last = turns[len(system) : len(turns) - len(answer)]
    return [*system, Turn("user", plain([*before, replace(last, after="")])), *answer]
