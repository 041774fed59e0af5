"""Split texts with the `tokenizers` library alone if that gives the same tokens as transformers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tokenizers import Tokenizer

from evalharness import registry
from evalharness.checkpoints import REGISTRY, fingerprint
from evalharness.checkpoints.conclusions import conclude_once
from evalharness.checkpoints.special_tokens import SpecialTokens
from evalharness.errors import ModelError
from evalharness.fingerprint import of_bytes
from evalharness.records.models import Architecture

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FILE = "tokenizer.json"
# methods by which a class could change how texts become ids
STEPS = (
    *("__call__", "_call_one", "encode", "encode_plus", "batch_encode_plus", "_encode_plus", "_batch_encode_plus"),
    *("_get_padding_truncation_strategies", "set_truncation_and_padding", "_convert_encoding"),
)
SHARED_CODE = ("transformers.tokenization_utils_base", "transformers.tokenization_utils_tokenizers")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerFacts:
    """What must be known of a tokenizer to use it without transformers.

    `around` maps an architecture to the special tokens around a prompt. `split_by` is the digest of a tokenizer.json
    that splits texts as transformers does; "" if it may not. `ids` maps the role of a special token to its id. `texts`
    are those of BOS and EOS. `words` are the special tokens as variables of chat templates. `chat` is the default chat
    template.
    """

    around: Mapping[str, Mapping[str, Any]]
    split_by: str = ""
    ids: Mapping[str, int | None] = field(default_factory=dict)
    texts: Sequence[tuple[int, str]] = ()
    words: Mapping[str, str] = field(default_factory=dict)
    chat: str | None = None


class FastTokenizer:
    """Replaces a tokenizer of transformers for two uses: splitting texts (with its `backend_tokenizer`), and rendering
    chats.
    """

    def __init__(self, directory: Path, facts: TokenizerFacts) -> None:
        """Read tokenizer.json. Raises ModelError if the facts are of another one."""
        data = (directory / FILE).read_bytes()
        if of_bytes(data) != facts.split_by:
            raise ModelError(directory / FILE, fingerprint.CHANGED, fingerprint.ONCE_WRITTEN)
        self.name_or_path, self.special_tokens_map = str(directory), dict(facts.words)
        self.bos_token_id, self.eos_token_id = facts.ids.get("bos"), facts.ids.get("eos")
        self.pad_token_id, self.unk_token_id = facts.ids.get("pad"), facts.ids.get("unk")
        self.chat_template, self._texts = facts.chat, dict(facts.texts)
        self._tokenizer = Tokenizer.from_buffer(data)

    @property
    def backend_tokenizer(self) -> Tokenizer:
        return self._tokenizer

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of BOS or EOS."""
        return self._texts[next(iter(ids))]

    def get_chat_template(self) -> str | None:
        return self.chat_template


def has_shared_steps(kind: type) -> bool:
    """Return whether a class of tokenizers passes texts to its `backend_tokenizer` by the code that all such classes
    share.
    """
    steps = (vars(each)[step] for each in kind.__mro__ for step in STEPS if step in vars(each))
    return hasattr(kind, "backend_tokenizer") and all(step.__module__ in SHARED_CODE for step in steps)


def tokenizer_facts(directory: Path) -> TokenizerFacts:
    """Return the facts of the tokenizer in a directory. Raises ModelError if it cannot be read."""
    return _facts(directory)[0]


def prompt_tokens_in(directory: Path, architecture: Architecture) -> SpecialTokens:
    """Return the special tokens that the tokenizer in a directory puts around a prompt. Raises ModelError as
    `tokenizer_facts`.
    """
    around = tokenizer_facts(directory).around[architecture]
    return SpecialTokens(tuple(around["before"]), tuple(around["after"]), around["prefix"])


def splitting_tokenizer(directory: Path, prefix: int | None) -> PreTrainedTokenizerBase:
    """Return a tokenizer that splits texts and renders chats as the one in a directory does.

    It is a FastTokenizer if that does the same and the full one is not in memory. `prefix` is a token whose text is
    needed. Raises ModelError if it cannot be read.
    """
    facts, loaded = _facts(directory)
    if loaded is None and facts.split_by and prefix in {None, *(token for token, _ in facts.texts)}:
        return cast("PreTrainedTokenizerBase", FastTokenizer(directory, facts))
    tokenizer: PreTrainedTokenizerBase = loaded or registry.find(REGISTRY, "tokenizer", "checkpoint step")(directory)
    return tokenizer


def _facts(directory: Path) -> tuple[TokenizerFacts, PreTrainedTokenizerBase | None]:
    """Return the facts of the tokenizer in a directory, and the tokenizer itself if it was loaded for them."""
    loaded: list[PreTrainedTokenizerBase] = []

    def conclude() -> dict[str, Any]:
        facts, tokenizer = registry.find(REGISTRY, "tokenizer_facts", "checkpoint step")(directory)
        loaded.append(tokenizer)
        return dict(facts)

    facts = conclude_once("tokenizer", fingerprint.tokenizer_paths(directory), [], conclude)
    return TokenizerFacts(**facts), loaded[0] if loaded else None
