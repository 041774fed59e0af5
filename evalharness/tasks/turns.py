"""Put the turns of a conversation together to a prompt: plain, or by the model's own chat template.

Both are lm-eval 0.4.13's, byte for byte: in a plain prompt every turn is followed by its delimiter; under a template
delimiters are left out, unless the shots stand together with the question in one turn of the user's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from evalharness.records.tokenizers import ChatRenderer


@dataclass(frozen=True, slots=True)
class Turn:
    """The text of one side, and what follows it in a plain prompt."""

    role: Literal["system", "user", "assistant"]
    text: str
    after: str = ""


@dataclass(frozen=True, slots=True)
class Chat:
    """The template by which a chat model is asked, and whether shots are turns of their own."""

    renderer: ChatRenderer
    multiturn: bool = True

    def prompt(self, turns: Sequence[Turn]) -> str:
        """The prompt up to where the model goes on: its own turn, or inside that turn where it begins with a generated
        prefix.

        Raises Unrenderable where the template refuses the turns.
        """
        shown = turns if self.multiturn else _together(turns)
        messages = [{"role": turn.role, "content": turn.text} for turn in shown]
        return self.renderer.render(messages, continued=turns[-1].role == "assistant")


def plain(turns: Sequence[Turn]) -> str:
    """The turns as one text."""
    return "".join(turn.text + turn.after for turn in turns)


def question(text: str, prefix: str, delimiter: str) -> tuple[Turn, ...]:
    """A question, and the start of its answer where there is one; the delimiter between them unless one of them has
    white space there.
    """
    if not prefix:
        return (Turn("user", text),)
    return Turn("user", text, delimiter if needs_gap(text, prefix) else ""), Turn("assistant", prefix)


def delimited(before: str, after: str, delimiter: str) -> str:
    """Both texts, with the delimiter between them unless one of them is empty or has white space there."""
    if not before or not after:
        return before or after
    return before + (delimiter if needs_gap(before, after) else "") + after


def needs_gap(before: str, after: str) -> bool:
    """Is there something before, and no white space where the two meet? `after` is not empty."""
    return before != "" and not (before[-1].isspace() or after[0].isspace())


def _together(turns: Sequence[Turn]) -> list[Turn]:
    """Shots and question as one turn of the user's; the system's turn and the start of the answer stay their own."""
    system = [turn for turn in turns[:1] if turn.role == "system"]
    answer = [turn for turn in turns[-1:] if turn.role == "assistant"]
    *before, last = turns[len(system) : len(turns) - len(answer)]
    return [*system, Turn("user", plain([*before, replace(last, after="")])), *answer]
