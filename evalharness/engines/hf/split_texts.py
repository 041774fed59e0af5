"""Turn texts into token ids by the `tokenizers` library, and what several texts begin with alike only once, where a
tokenizer is known to split every text between two words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from tokenizers import Tokenizer

from evalharness.checkpoints.fast_tokenizer import has_shared_steps
from evalharness.engines.hf.trie import common

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CUT = re.compile("[A-Za-z](?= [A-Za-z])")  # a text is cut after such a letter
SPANS_A_CUT = re.compile("[A-Za-z] ")  # in an added token
NEAR = 256  # characters before the end of what two texts share, in which a cut is looked for
WORTH = 64  # characters that a beginning must spare

# Steps of a pipeline that look no further than the neighbouring character, and so give the same on both sides of a cut
# wherever the text is cut there
LOCAL_NORMALIZERS = {"NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "BertNormalizer"}
LOCAL_SPLITTERS = {"ByteLevel", "Digits", "Whitespace", "WhitespaceSplit", "BertPreTokenizer", "Punctuation"}
SPLITS_WORDS = {"Whitespace", "WhitespaceSplit", "BertPreTokenizer"}
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
PATTERNS = {rf"{_WORDS}|\p{{N}}{{1,3}}{_REST}", rf"{_WORDS}|\p{{N}}{_REST}"}  # of Llama 3 and of Qwen 2


class Beginning(NamedTuple):
    """How texts begin, and the ids of that."""

    text: str
    ids: tuple[int, ...]


class SharedBeginnings:
    """Encodes texts by `encode`; what a text begins with as those before it did is not encoded again.

    The ids are those of `encode` for the whole text wherever it splits at every cut (`splits_between_words`).
    """

    def __init__(self, encode: Callable[[str], tuple[int, ...]]) -> None:
        self._encode, self._last = encode, ""
        self._known: list[Beginning] = [Beginning("", ())]  # each begins with the one before it

    def __call__(self, text: str) -> tuple[int, ...]:
        while not text.startswith(self._known[-1].text):
            self._known.pop()
        shared, self._last = common(text, self._last), text
        known = self._known[-1]
        at = max(len(known.text), shared - NEAR)
        cuts = [cut.end() for cut in CUT.finditer(text, at, shared)]
        if cuts and cuts[-1] - len(known.text) >= WORTH:
            begins = text[: cuts[-1]]
            known = Beginning(begins, known.ids + self._encode(begins[len(known.text) :]))
            self._known.append(known)
        return known.ids + self._encode(text[len(known.text) :])


def encoder(tokenizer: PreTrainedTokenizerBase) -> Callable[[str], tuple[int, ...]]:
    """What gives the ids of a text as the tokenizer does, without special tokens around them. It raises what the
    tokenizer raises for what is no Unicode text.
    """
    if not has_shared_steps(type(tokenizer)) or getattr(tokenizer, "split_special_tokens", False):
        return lambda text: tuple(tokenizer.encode(text, add_special_tokens=False, verbose=False))
    pipeline: Tokenizer = tokenizer.backend_tokenizer

    def encode(text: str) -> tuple[int, ...]:
        if pipeline.truncation is not None:  # whoever else has the tokenizer in hand may have set these
            pipeline.no_truncation()
        if pipeline.padding is not None:
            pipeline.no_padding()
        pipeline.encode_special_tokens = False
        return tuple(pipeline.encode_batch_fast([text], add_special_tokens=False)[0].ids)

    return SharedBeginnings(encode) if splits_between_words(pipeline) else encode


def splits_between_words(pipeline: Tokenizer) -> bool:
    """Whether both sides of every cut have the ids that they have in the whole text, as far as the kinds of the
    pipeline's steps are known: no added token spans a cut, no step looks over it, and the model is asked for the pieces
    one by one.
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
    """The steps of a normaliser or pre-tokeniser, each as its values."""
    if step is None:
        return []
    value = json.loads(step.__getstate__())
    inner = value.get("normalizers", value.get("pretokenizers")) if value["type"] == "Sequence" else [value]
    return [*inner]


def _splits_words(step: Mapping[str, Any]) -> bool:
    """Whether a step of pre-tokenising splits at every cut."""
    if step["type"] == "ByteLevel":
        return bool(step["use_regex"])
    if step["type"] == "Split":
        known = step["pattern"].get("Regex") in PATTERNS
        return known and not step["invert"] and step["behavior"] == "Isolated"
    return step["type"] in SPLITS_WORDS


def _spans_a_cut(token: Any) -> bool:
    """Whether an added token may reach over a cut: by its letters and spaces, or by the spaces that it takes around."""
    content = str(token.content)
    strips = (token.rstrip and content[-1:].isalpha()) or (token.lstrip and content[:1].isalpha())
    return bool(strips or SPANS_A_CUT.search(content))
