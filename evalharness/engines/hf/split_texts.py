"""Encode texts with the `tokenizers` library, and encode the common beginning of several texts only once.

A beginning is encoded once only for tokenizers that are known to split every text between two words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from tokenizers import Tokenizer

from evalharness.checkpoints.fast_tokenizer import has_shared_steps
from evalharness.engines.hf.trie import prefix_length

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CUT = re.compile("[A-Za-z](?= [A-Za-z])")  # a text is cut after such a letter
SPANS_A_CUT = re.compile("[A-Za-z] ")  # in an added token
NEAR = 256  # characters before the end of a common beginning in which a cut is searched
WORTH = 64  # characters that a beginning must save
# Steps of a pipeline that look no further than the neighbouring character, so that a cut changes nothing on either side
LOCAL_NORMALIZERS = {"NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "BertNormalizer"}
LOCAL_SPLITTERS = {"ByteLevel", "Digits", "Whitespace", "WhitespaceSplit", "BertPreTokenizer", "Punctuation"}
SPLITS_WORDS = {"Whitespace", "WhitespaceSplit", "BertPreTokenizer"}
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
PATTERNS = {rf"{_WORDS}|\p{{N}}{{1,3}}{_REST}", rf"{_WORDS}|\p{{N}}{_REST}"}  # of Llama 3 and of Qwen 2


class Beginning(NamedTuple):
    """A common beginning of texts, and its token ids."""

    text: str
    ids: tuple[int, ...]


class SharedBeginnings:
    """Encodes texts with `encode`, without encoding again the beginning that a text shares with those before it.

    The ids equal those of `encode` for the whole text if it splits at every cut (`splits_between_words`).
    """

    def __init__(self, encode: Callable[[str], tuple[int, ...]]) -> None:
        self._encode, self._last = encode, ""
        self._beginnings: list[Beginning] = [Beginning("", ())]  # each begins with the one before it

    def __call__(self, text: str) -> tuple[int, ...]:
        while not text.startswith(self._beginnings[-1].text):
            self._beginnings.pop()
        shared, self._last = prefix_length(text, self._last), text
        start = self._beginnings[-1]
        at = max(len(start.text), shared - NEAR)
        cuts = [cut.end() for cut in CUT.finditer(text, at, shared)]
        if cuts and cuts[-1] - len(start.text) >= WORTH:
            begins = text[: cuts[-1]]
            start = Beginning(begins, start.ids + self._encode(begins[len(start.text) :]))
            self._beginnings.append(start)
        return start.ids + self._encode(text[len(start.text) :])


def encoder(tokenizer: PreTrainedTokenizerBase) -> Callable[[str], tuple[int, ...]]:
    """Return the fastest function that gives the tokenizer's ids of a text, without special tokens around them. It
    raises the tokenizer's exception for an invalid Unicode text.
    """
    if not has_shared_steps(type(tokenizer)) or getattr(tokenizer, "split_special_tokens", False):
        return lambda text: tuple(tokenizer.encode(text, add_special_tokens=False, verbose=False))
    pipeline: Tokenizer = tokenizer.backend_tokenizer

    def encode(text: str) -> tuple[int, ...]:
        if pipeline.truncation is not None:  # other users of the tokenizer object may have set these
            pipeline.no_truncation()
        if pipeline.padding is not None:
            pipeline.no_padding()
        pipeline.encode_special_tokens = False
        return tuple(pipeline.encode_batch_fast([text], add_special_tokens=False)[0].ids)

    return SharedBeginnings(encode) if splits_between_words(pipeline) else encode


def splits_between_words(pipeline: Tokenizer) -> bool:
    """Return whether both sides of every cut have the same ids as in the whole text, judged by the kinds of the
    pipeline's steps: no added token spans a cut, no step looks across it, and the model encodes the pieces one by one.
    """
    if getattr(pipeline.model, "dropout", None) or any(map(_spans_a_cut, pipeline.get_added_tokens_decoder().values())):
        return False
    normalizers, splitters = _steps(pipeline.normalizer), _steps(pipeline.pre_tokenizer)
    if not all(step["type"] in LOCAL_NORMALIZERS for step in normalizers):
        return False
    return any(map(_splits_words, splitters)) and all(
        step["type"] in LOCAL_SPLITTERS or _splits_words(step) for step in splitters
    )


def _steps(step: Any) -> list[Mapping[str, Any]]:
    """Return the settings of each step of a normaliser or pre-tokeniser."""
    if step is None:
        return []
    value = json.loads(step.__getstate__())
    inner = value.get("normalizers", value.get("pretokenizers")) if value["type"] == "Sequence" else [value]
    return [*inner]


def _splits_words(step: Mapping[str, Any]) -> bool:
    """Return whether a step of pre-tokenising splits at every cut."""
    if step["type"] == "ByteLevel":
        return bool(step["use_regex"])
    if step["type"] == "Split":
        is_listed = step["pattern"].get("Regex") in PATTERNS
        return is_listed and not step["invert"] and step["behavior"] == "Isolated"
    return step["type"] in SPLITS_WORDS


def _spans_a_cut(token: Any) -> bool:
    """Return whether an added token may span a cut: by its letters and spaces, or by the spaces that it strips."""
    content = str(token.content)
    strips = (token.rstrip and content[-1:].isalpha()) or (token.lstrip and content[:1].isalpha())
    return bool(strips or SPANS_A_CUT.search(content))
