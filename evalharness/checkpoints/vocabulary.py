"""Read the texts of tokens from tokenizer.json, without a library."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from evalharness.checkpoints import files
from evalharness.errors import ModelError

WORD_START = "▁"  # sentencepiece's space
PRINTABLE = (*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1))
OTHERS = [byte for byte in range(256) if byte not in PRINTABLE]
BYTES = {chr(byte): byte for byte in PRINTABLE} | {chr(256 + place): byte for place, byte in enumerate(OTHERS)}


def token_texts(path: Path, ids: Collection[int]) -> dict[int, str]:
    """Return the texts of these tokens, with real spaces and line ends; {} if the file cannot be read."""
    try:
        value = files.read_json(path)
    except ModelError:
        return {}
    model, added = value.get("model"), value.get("added_tokens")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    byte_level = "ByteLevel" in json.dumps(value.get("decoder"))
    needed_ids = frozenset(ids)
    texts = {index: _text(token, byte_level) for token, index in _entries(vocabulary) if index in needed_ids}
    for each in added if isinstance(added, list) else ():
        if isinstance(each, dict) and isinstance(each.get("content"), str) and each.get("id") in needed_ids:
            texts[each["id"]] = each["content"]
    return texts


def _entries(vocabulary: Any) -> list[tuple[str, int]]:
    """Return the tokens and ids of a mapping, or of a list of [token, score]."""
    if isinstance(vocabulary, Mapping):
        return [(token, index) for token, index in vocabulary.items() if isinstance(index, int)]
    rows = vocabulary if isinstance(vocabulary, list) else []
    return [
        (row[0], index) for index, row in enumerate(rows) if isinstance(row, list) and row and isinstance(row[0], str)
    ]


def _text(token: str, byte_level: bool) -> str:
    """Return a token's text. In a byte-level vocabulary each of its letters stands for a byte."""
    if byte_level and all(letter in BYTES for letter in token):
        return bytes(BYTES[letter] for letter in token).decode("utf-8", errors="replace")
    return token.replace(WORD_START, " ")
