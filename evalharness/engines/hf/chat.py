"""Render messages with a tokenizer's chat template as lm-eval's HFLM does, with a fixed date."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalharness import fingerprint
from evalharness.engines.hf.chat_environment import ENVIRONMENT
from evalharness.errors import ModelError
from evalharness.records.tokenizers import Unrenderable
from evalharness.sandbox import FAILURES, BoundedTemplate

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# The date in templates: prompts that change overnight could be neither resumed nor compared. Llama 3's templates use
# this one where there is no clock.
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
# the end of this line does not appear in the output
STOPPED_CLOCK = f"{{% macro {CLOCK}(format) %}}{{{{ format{_REPLACED} }}}}{{% endmacro %}}\n"
USER = {"role": "user", "content": "What is asked?"}
CONTINUED = "CONTINUE_FINAL_MESSAGE_TAG "  # transformers' mark at the end of a turn that is to be continued


class ChatTemplate:
    """One tokenizer's default chat template.

    A template that refuses system turns gets none, as in lm-eval; `takes_system` says whether it shows them.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, source: str) -> None:
        """Read the template `source`. Raises Unrenderable if it does not parse or cannot render a single question."""
        source = STOPPED_CLOCK + source if CLOCK in source else source
        self._tokens = tokenizer.special_tokens_map
        self._shows_content = "content" in source
        # special tokens whose names are not in the source cannot appear
        words = {name: text for name, text in self._tokens.items() if name in source}
        self.fingerprint = fingerprint.of_value(["chat", source, words])
        try:
            self._template = BoundedTemplate(ENVIRONMENT, source)
        except FAILURES as error:
            raise Unrenderable(_first_line(error)) from None
        self._tools: tuple[Mapping[str, Any], ...] | None = None
        system = {"role": "system", "content": "What the system says."}
        self._render([USER], continued=False)
        try:
            text = self._render([system, USER], continued=False)
            self._refuses_system = False
        except Unrenderable:
            text, self._refuses_system = "", True
        self.takes_system = system["content"] in text

    def with_tools(self, tools: Sequence[Mapping[str, Any]]) -> ChatTemplate:
        """Return the template with tools to call in every prompt. Raises Unrenderable if it does not show them."""
        other = copy(self)
        other._tools = tuple(tools)
        text = other._render([USER], continued=False)
        names = [each.get("name") for tool in tools if isinstance(each := tool.get("function", tool), Mapping)]
        if any(str(name) not in text for name in names):
            raise Unrenderable("it does not show tools")
        return other

    def render(self, messages: Sequence[Mapping[str, Any]], continued: bool) -> str:
        """Render messages, with an open turn of the model if not `continued`. Raises Unrenderable with the message of
        the template or of transformers.
        """
        return self._render(self._turns(messages), continued)

    def ended(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """Render a conversation whose last turn is over, without an open turn. Raises Unrenderable as `render` does."""
        return self._render(self._turns(messages), None)

    def _turns(self, messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        return [each for each in messages if not (self._refuses_system and each["role"] == "system")]

    def _render(self, messages: Sequence[Mapping[str, Any]], continued: bool | None) -> str:
        """Render as transformers' `apply_chat_template` does: with `add_generation_prompt` if `continued` is False,
        with `continue_final_message` if it is True.
        """
        turns = [dict(message) for message in messages]
        if continued:
            if not turns or not self._shows_content:
                raise Unrenderable("the template has no place for the text that is to be continued")
            turns[-1]["content"] += CONTINUED
        tools = None if self._tools is None else list(self._tools)
        variables = {"messages": turns, "tools": tools, "documents": None, "add_generation_prompt": continued is False}
        try:
            text = self._template.render({**self._tokens, **variables})
        except FAILURES as error:
            raise Unrenderable(_first_line(error)) from None
        return _until_mark(text, messages[-1]["content"]) if continued else text


def _until_mark(text: str, last: str) -> str:
    """Cut the text where the last turn is to be continued, without the white space before where the template strips
    texts. Raises Unrenderable if the turn does not appear.
    """
    start, mark, end = text.rpartition(CONTINUED.strip())
    if not mark or last.strip() not in text:
        raise Unrenderable("the final message, which is to be continued, does not appear in the chat")
    return start if end.startswith(" ") else start.rstrip()


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def template_of(directory: Path, tokenizer: PreTrainedTokenizerBase) -> ChatTemplate | None:
    """Return the chat template of a tokenizer, whose files are in `directory`; None if it has none. Raises ModelError
    for one that cannot be used.
    """
    if not tokenizer.chat_template:
        return None
    try:
        return ChatTemplate(tokenizer, tokenizer.get_chat_template())
    except ValueError as error:  # several templates without a default, or one that cannot render a question
        reason = str(error).strip().splitlines()[0]
        raise ModelError(
            directory,
            f"its chat template cannot be used ({reason})",
            "mend chat_template.jinja or tokenizer_config.json",
        ) from None
