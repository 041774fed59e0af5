"""Read and write the JSON documents that lie beside a run's results: sweep.json, stages.json, …"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from evalharness.results import files
from evalharness.results.digest import with_digest
from evalharness.results.structuring import Form, parsed, structured

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

AGAIN = "give the command again"
Document = TypeVar("Document")


def to_json(document: DataclassInstance, version: int) -> str:
    """The text of a document. Raises ValueError if a number is not finite."""
    return files.to_json(with_digest(asdict(document), version))


def read(path: Path, kind: type[Document], version: int) -> Document | None:
    """The document at `path`; None where there is no file. Raises UsageError for a file that is no such document."""
    if not path.is_file():
        return None
    content = parsed(path.read_bytes(), path, Form(what=path.stem, version=version, fix=AGAIN, restore=AGAIN))
    return structured(content, kind, path, fix=AGAIN)
