"""A chat template for scripted engines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evalharness import fingerprint


class ScriptedChat:
    """A chat template of angle brackets: every turn a line after its role and `mark`, the model's opened at the end."""

    def __init__(self, mark: str = "", takes_system: bool = True) -> None:
        self.mark, self.takes_system = mark, takes_system
        self.fingerprint = fingerprint.of_value(["scripted chat", mark, takes_system])

    def render(self, messages: Sequence[Mapping[str, str]], continued: bool) -> str:
        shown = [each for each in messages if self.takes_system or each["role"] != "system"]
        lines = "\n".join(f"<{each['role']}{self.mark}>{each['content']}" for each in shown)
        return lines if continued else f"{lines}\n<assistant{self.mark}>"
