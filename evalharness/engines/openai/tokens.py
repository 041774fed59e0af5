"""Split texts into tokens as a served model does: with its tokenizer's files, else through its server."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from evalharness.checkpoints.fast_tokenizer import prompt_tokens_in, splitting_tokenizer
from evalharness.checkpoints.fingerprint import of_tokenizer
from evalharness.checkpoints.special_tokens import PROBE, SpecialTokens
from evalharness.engines.hf.tokenizer_adapter import TokenizerAdapter, Untokenizable
from evalharness.fingerprint import of_value
from evalharness.openai_api.client import ApiClient
from evalharness.openai_api.replies import ApiFailure
from evalharness.records.models import Architecture

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PATH = "/tokenize"
NO_TEXT = "it is no Unicode text"
MOST_TEXTS = 20_000  # texts whose tokens are remembered


class ServerTokenizer:
    """Splits texts by the server's /tokenize, which vLLM, SGLang and llama.cpp have, and remembers the tokens."""

    bos_token_id = eos_token_id = pad_token_id = unk_token_id = None

    def __init__(self, api: ApiClient, model: str) -> None:
        # a client of its own, because texts are counted after the one that tested the server is closed
        self._api, self._model = ApiClient(api.url, limits=api.limits), model
        weakref.finalize(self, self._api.close)
        self._tokens: dict[tuple[str, bool], list[int] | str] = {}

    def encode(self, text: str, add_special_tokens: bool = False, verbose: bool = False) -> list[int]:
        """Return the ids of a text. Raises TypeError, as a tokenizer does, for one that the server does not split."""
        self.learn([text], add_special_tokens)
        tokens = self._tokens.get((text, add_special_tokens), NO_TEXT)
        if isinstance(tokens, str):
            raise TypeError(tokens)
        return tokens

    def learn(self, texts: Iterable[str], special: bool = False) -> None:
        """Have the server split all texts whose tokens are not remembered, several at once."""
        if len(self._tokens) > MOST_TEXTS:
            self._tokens.clear()
        unknown = [text for text in dict.fromkeys(texts) if (text, special) not in self._tokens and is_text(text)]
        bodies = [self._body(text, special) for text in unknown]
        for place, answer in self._api.post_all(self._api.root + PATH, bodies):
            self._tokens[unknown[place], special] = _tokens_in(answer)

    def _body(self, text: str, special: bool) -> dict[str, Any]:
        """Make a request with both names that servers have for each field."""
        fields = {"prompt": text, "content": text, "add_special_tokens": special, "add_special": special}
        return {"model": self._model, **fields}

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        """Return "": the server does not turn tokens into text."""
        return ""


def is_text(text: str) -> bool:
    """Return whether a text is valid Unicode that can be sent."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_text(text: str) -> None:
    """Raise Untokenizable for a text that cannot be sent."""
    if not is_text(text):
        raise Untokenizable(f"the text cannot be tokenised ({NO_TEXT})")


def _tokens_in(answer: Mapping[str, Any] | ApiFailure) -> list[int] | str:
    """Return the tokens in an answer, or why there are none."""
    if isinstance(answer, ApiFailure):
        return f"the server does not split it: {answer.reason}"
    tokens = answer.get("tokens")
    if isinstance(tokens, list) and all(type(token) is int for token in tokens):
        return tokens
    return "the server answers with no tokens"


def server_tokens(api: ApiClient, model: str, texts: Sequence[str]) -> list[tuple[int, ...] | None]:
    """Return the server's tokens of each text without special tokens; None for all if it does not split texts."""
    tokenizer, tokens = ServerTokenizer(api, model), list[tuple[int, ...] | None]()
    tokenizer.learn(texts[:1])
    for text in texts:
        try:
            tokens.append(tuple(tokenizer.encode(text)))
        except TypeError:
            return [None] * len(texts)
    return tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptSplitter:
    """Splits texts into tokens as a served model does. Splitters with equal `fingerprint` split alike.

    `adapter`: encodes with the tokenizer. `server`: the tokenizer behind it if the server splits the texts, else None.
    """

    fingerprint: str
    adapter: TokenizerAdapter = field(compare=False)
    server: ServerTokenizer | None = field(default=None, compare=False)

    def __call__(self, text: str) -> int:
        """Count the tokens of a text with the special tokens around it; 0 if it cannot be split."""
        try:
            return len(self.adapter.encode(text))
        except Untokenizable:
            return 0

    def token_ids(self, text: str) -> tuple[int, ...]:
        """Return the tokens of a text without the special tokens around it."""
        return self.adapter.encode(text, special=False)

    def learn(self, texts: Iterable[str]) -> None:
        """Have the server split these texts at once, if it is the splitter."""
        if self.server is not None:
            self.server.learn(texts)


def local_splitter(directory: Path) -> PromptSplitter:
    """Make a splitter from the tokenizer's files. Raises ModelError if they cannot be read."""
    around = prompt_tokens_in(directory, Architecture.CAUSAL)
    tokenizer = splitting_tokenizer(directory, around.prefix)
    adapter = TokenizerAdapter(tokenizer, Architecture.CAUSAL, around)
    return PromptSplitter(fingerprint=of_tokenizer(directory), adapter=adapter)


def server_splitter(api: ApiClient, model: str) -> PromptSplitter | None:
    """Make a splitter that asks the server; None if a text's tokens are not part of those with special tokens."""
    tokenizer = ServerTokenizer(api, model)
    try:
        plain, whole = (tokenizer.encode(PROBE, add_special_tokens=special) for special in (False, True))
    except TypeError:
        return None
    starts = [start for start in range(len(whole) - len(plain) + 1) if whole[start : start + len(plain)] == plain]
    if not (plain and starts):
        return None
    before = tuple(whole[: starts[0]])
    around = SpecialTokens(before, (), before[0] if before else None)
    adapter = TokenizerAdapter(cast("PreTrainedTokenizerBase", tokenizer), Architecture.CAUSAL, around)
    return PromptSplitter(fingerprint=of_value([plain, whole]), adapter=adapter, server=tokenizer)
