"""Compute the digest of rows from their content and order, independent of the file's format."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from evalharness.data.files import DataRow
from evalharness.data.tables import typed_value
from evalharness.errors import DataError


def digest_of(rows: Sequence[DataRow], origin: str) -> str:
    """Compute SHA-256 over the rows in their order.

    A text that reads like a number counts as the number, and null as an empty text, because a CSV file does not
    distinguish them. Raises DataError for a text that is no Unicode (a lone surrogate), and for values that are no
    JSON.
    """
    digest = hashlib.sha256()
    for number, row in enumerate(rows):
        try:
            text = json.dumps(
                {key: _cell(value) for key, value in row.items()},
                sort_keys=True,
                ensure_ascii=False,
                allow_nan=False,
                separators=(",", ":"),
            )
            digest.update(text.encode() + b"\n")
        except UnicodeEncodeError:
            raise DataError(
                origin, f"row {number} holds half a character (a lone surrogate)", "write whole Unicode characters"
            ) from None
        except (TypeError, ValueError, RecursionError) as error:
            raise DataError(
                origin,
                f"row {number} holds a value that cannot be used: {error}",
                "texts, numbers and lists would be right",
            ) from None
    return digest.hexdigest()


def _cell(value: object) -> object:
    return typed_value(value) if isinstance(value, str) else "" if value is None else value
