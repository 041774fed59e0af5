"""Render messages by a tokenizer's chat template as lm-eval's HFLM does, the same on every day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from evalharness import fingerprint
from evalharness.errors import ModelError
from evalharness.records.tokenizers import Unrenderable

# The day that templates are given: prompts that change overnight could be neither resumed nor compared. It is the one
# that Llama 3's templates name where there is no clock.
DAY = {
    "a": "Fri",
    "A": "Friday",
    "b": "Jul",
    "B": "July",
    "d": "26",
    "-d": "26",
    "m": "07",
    "-m": "7",
    "y": "24",
    "Y": "2024",
    "j": "208",
}
HOUR = {"H": "00", "I": "12", "M": "00", "S": "00", "p": "AM"}
CLOCK = "strftime_now"
_REPLACED = "".join(f" | replace('%{directive}', '{value}')" for directive, value in {**DAY, **HOUR}.items())
# the line's end is no part of the output
STOPPED_CLOCK = f"{{% macro {CLOCK}(format) %}}{{{{ format{_REPLACED} }}}}{{% endmacro %}}\n"
REFUSALS = (TemplateError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError)


class ChatTemplate:
    """One tokenizer's default template.

    Where it refuses system turns they are left out, as lm-eval leaves them out; `takes_system` says so.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, source: str) -> None:
        self._tokenizer = tokenizer
        self._source = STOPPED_CLOCK + source if CLOCK in source else source
        # other special tokens cannot show
        words = {name: text for name, text in tokenizer.special_tokens_map.items() if name in source}
        self.fingerprint = fingerprint.of_value(["chat", self._source, words])
        user = {"role": "user", "content": "What is asked?"}
        system = {"role": "system", "content": "What the system says."}
        self._put([user], continued=False)
        try:
            shown = self._put([system, user], continued=False)
            self._refuses_system = False
        except Unrenderable:
            shown, self._refuses_system = "", True
        self.takes_system = system["content"] in shown

    def render(self, messages: Sequence[Mapping[str, str]], continued: bool) -> str:
        """Raises Unrenderable with what the template or transformers says."""
        return self._put(self._said(messages), continued)

    def ended(self, messages: Sequence[Mapping[str, str]]) -> str:
        """A conversation whose last turn is over, with nothing that asks for another. Raises Unrenderable as `render`
        does.
        """
        return self._put(self._said(messages), None)

    def _said(self, messages: Sequence[Mapping[str, str]]) -> list[Mapping[str, str]]:
        return [each for each in messages if not (self._refuses_system and each["role"] == "system")]

    def _put(self, messages: Sequence[Mapping[str, str]], continued: bool | None) -> str:
        try:
            return str(
                self._tokenizer.apply_chat_template(
                    [dict(message) for message in messages],
                    chat_template=self._source,
                    tokenize=False,
                    add_generation_prompt=continued is False,
                    continue_final_message=continued is True,
                )
            )
        except REFUSALS as error:
            raise Unrenderable((str(error).strip().splitlines() or [type(error).__name__])[0]) from None


def template_of(directory: Path, tokenizer: PreTrainedTokenizerBase) -> ChatTemplate | None:
    """The template of the tokenizer whose files lie in `directory`; None where it has none. Raises ModelError for one
    that cannot be used.
    """
    if not tokenizer.chat_template:
        return None
    try:
        return ChatTemplate(tokenizer, tokenizer.get_chat_template())
    except ValueError as error:  # several without a default, or one that puts not even a single question
        reason = str(error).strip().splitlines()[0]
        raise ModelError(
            directory,
            f"its chat template cannot be used ({reason})",
            "mend chat_template.jinja or tokenizer_config.json",
        ) from None
