"""Write a digest of its content into a JSON document, and check it on reading."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from evalharness import fingerprint
from evalharness.errors import UsageError

KEY = "digest"


def with_digest(document: Mapping[str, Any], version: int, beside: str = "") -> dict[str, Any]:
    """Return the document with its schema version and the digest of its content in front.

    `beside` is a digest of other content that belongs to it. Raises ValueError for a number that is not finite.
    """
    content = {"schema_version": version, **document}
    return {"schema_version": version, KEY: _digest(content, beside), **document}


def check_digest(document: dict[str, Any], where: object, fix: str, beside: str = "") -> None:
    """Remove the digest from a parsed document and compare it with the rest. Raises UsageError if they differ.

    A document without a digest, from an earlier version, passes.
    """
    stated = document.pop(KEY, None)
    if stated is not None and stated != _digest(document, beside):
        raise UsageError(where, "was changed after it was written: its digest is not that of its content", fix)


def _digest(content: Mapping[str, Any], beside: str) -> str:
    """Return SHA-256 of the content as JSON, with keys in their order. It is the same before writing and after
    parsing.
    """
    text = json.dumps([content, beside], allow_nan=False)
    return fingerprint.of_bytes(text.encode())
