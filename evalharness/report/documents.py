"""Read and write the JSON documents beside a run's results: sweep.json, stages.json and others."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from evalharness.results import files
from evalharness.results.digest import with_digest
from evalharness.results.structuring import Form, parse_document, structure_json

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

AGAIN = "give the command again"
Document = TypeVar("Document", bound="DataclassInstance")


@dataclass(frozen=True, slots=True)
class DocumentFile(Generic[Document]):
    """A kind of document: its file's name, the record that it holds, and the version of its schema."""

    name: str
    record: type[Document]
    version: int

    def text(self, document: Document) -> str:
        """Write the content of the file. Raises ValueError if a number is not finite."""
        return files.to_json(with_digest(asdict(document), self.version))

    def write(self, folder: Path, document: Document) -> None:
        """Write the file into a folder. Raises StoreError."""
        files.write_text(folder / self.name, self.text(document))

    def read(self, folder: Path) -> Document | None:
        """Read the document in a folder; None if there is none. Raises UsageError for another file of that name."""
        path = folder / self.name
        if not path.is_file():
            return None
        form = Form(what=path.stem, version=self.version, fix=AGAIN, restore=AGAIN)
        return structure_json(parse_document(path.read_bytes(), path, form), self.record, path, fix=AGAIN)
