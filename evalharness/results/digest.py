"""State in a document the digest of its content, and refuse one whose content is no longer what was written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from evalharness import fingerprint
from evalharness.errors import UsageError

KEY = "digest"


def with_digest(document: Mapping[str, Any], version: int, beside: str = "") -> dict[str, Any]:
    """The document after its schema version and the digest of all that is in it; `beside`: a digest of what else it
    vouches for. Raises ValueError for a number that is not finite.
    """
    content = {"schema_version": version, **document}
    return {"schema_version": version, KEY: _digest(content, beside), **document}


def check_digest(document: dict[str, Any], where: object, fix: str, beside: str = "") -> None:
    """Take the digest out of a document as it was parsed. Raises UsageError where it is not that of the rest.

    A document without one was written by an earlier version, and is taken as it is.
    """
    stated = document.pop(KEY, None)
    if stated is not None and stated != _digest(document, beside):
        raise UsageError(where, "was changed after it was written: its digest is not that of its content", fix)


def _digest(content: Mapping[str, Any], beside: str) -> str:
    """SHA-256 of the content as JSON, keys in their order: equal for a value and for what is parsed of its text."""
    text = json.dumps([content, beside], allow_nan=False)
    return fingerprint.of_bytes(text.encode())
