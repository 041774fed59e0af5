"""Read and write the JSON documents that lie beside a run's results: sweep.json and stages.json."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from cattrs import Converter

from evalharness.errors import UsageError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

VERSION = "schema_version"
CONVERTER = Converter(detailed_validation=False)
Document = TypeVar("Document")


def to_json(document: DataclassInstance, version: int) -> str:
    """The text of a document. Raises ValueError if a number is not finite."""
    content = {VERSION: version, **asdict(document)}
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def read(path: Path, kind: type[Document], version: int) -> Document | None:
    """The document at `path`; None where there is no file. Raises UsageError for a file that is no such document."""
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content[VERSION] == version:
            return CONVERTER.structure(content, kind)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"not a {path.name} of evalharness ({type(error).__name__}: {error})"
        raise UsageError(path, why, "give the command again") from error
    raise UsageError(path, "of another version of evalharness", "give the command again")
