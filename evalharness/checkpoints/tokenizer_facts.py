"""Compute a tokenizer's facts with transformers, and check that its tokenizer.json alone splits texts alike."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from evalharness.checkpoints.fast_tokenizer import FILE, TokenizerFacts, has_shared_steps
from evalharness.checkpoints.sealed import sealed_folder
from evalharness.checkpoints.special_tokens import prompt_tokens
from evalharness.checkpoints.tokenizer import tokenizer_in
from evalharness.fingerprint import of_bytes
from evalharness.records.models import Architecture

AFTERWARDS = ("post_processor", "truncation", "padding")  # special tokens and lengths, which splitting does not use
ROLES = ("bos", "eos", "pad", "unk")


def facts_of(directory: Path) -> tuple[dict[str, Any], PreTrainedTokenizerBase]:
    """Return the values of `TokenizerFacts`, and the tokenizer. Raises ModelError if it cannot be read."""
    with sealed_folder(directory) as private:
        tokenizer = tokenizer_in(private)
        data = (private / FILE).read_bytes() if (private / FILE).is_file() else b""
    tokenizer.name_or_path = str(directory)
    ids = {role: getattr(tokenizer, f"{role}_token_id", None) for role in ROLES}
    texts = [(token, str(tokenizer.decode([token]))) for role in ("bos", "eos") if (token := ids[role]) is not None]
    try:
        chat = tokenizer.get_chat_template() if tokenizer.chat_template else None
    except ValueError:  # the tokenizer itself raises it when a chat is rendered
        data, chat = b"", None
    facts = TokenizerFacts(
        around={kind.value: asdict(prompt_tokens(tokenizer, kind)) for kind in Architecture},
        split_by=of_bytes(data) if data and _splits_alike(tokenizer, data) else "",
        ids=ids,
        texts=texts,
        words=tokenizer.special_tokens_map,
        chat=chat,
    )
    return asdict(facts), tokenizer


def _splits_alike(tokenizer: PreTrainedTokenizerBase, data: bytes) -> bool:
    """Return whether the tokenizer, by the code that all such tokenizers share, splits texts with exactly the pipeline
    in its tokenizer.json: the same added tokens, normaliser, pre-tokeniser and model.
    """
    if not has_shared_steps(type(tokenizer)) or tokenizer.split_special_tokens:
        return False
    backend = tokenizer.backend_tokenizer
    own, alone = (json.loads(each.to_str()) for each in (backend, Tokenizer.from_buffer(data)))
    if not all(_leaves_texts(each.get("post_processor")) for each in (own, alone)):
        return False
    return {**own, **dict.fromkeys(AFTERWARDS)} == {**alone, **dict.fromkeys(AFTERWARDS)}


def _leaves_texts(after: Any) -> bool:
    """Return whether a post-processor leaves the tokens of a text unchanged if no special tokens are added."""
    if after is None or after["type"] in ("ByteLevel", "RobertaProcessing", "BertProcessing"):
        return True
    if after["type"] == "Sequence":
        return all(map(_leaves_texts, after["processors"]))
    if after["type"] != "TemplateProcessing":
        return False
    return [piece["Sequence"]["id"] for piece in after["single"] if "Sequence" in piece] == ["A"]
