"""Read BIG-Bench Hard as published (bbh/TASK.json, "examples" of input and target) into the hub's rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from evalharness.data.contents import form_of, read_text
from evalharness.data.files import DataRow, json_value, kind
from evalharness.data.layout import JsonObject, PublishedLayout, below, child
from evalharness.errors import DataError

SUFFIX = ".json"


def _places(config: str, root: Path) -> Iterator[Path]:
    for folder in below(root, "bbh", "BIG-Bench-Hard/bbh"):
        if child(folder, config + SUFFIX).is_file():
            yield folder


def _files(config: str, split: str, place: Path) -> Sequence[Path]:
    """Return the one file of a task; all its examples are the test split."""
    path = child(place, config + SUFFIX)
    return [path] if split == "test" and path.is_file() else []


def _recognises(config: str, path: Path) -> bool:
    """Return whether the file has the authors' form: the hub's rows are a list, or an object per line."""
    return form_of(path) == SUFFIX and path.is_file() and '"examples"' in read_text(path)[: 1 << 20]


def _read(config: str, split: str | None, paths: Sequence[Path], renames: Mapping[str, str]) -> list[DataRow]:
    return [row for path in paths for row in _examples(path)]


def _examples(path: Path) -> Iterator[DataRow]:
    content = json_value(path)
    if not isinstance(content, dict):
        raise DataError(path, f"holds {kind(content)}", 'an object with "examples", a list, would be right')
    for example in JsonObject(path, "1", content).each("examples"):
        yield {key: example.text(key) for key in ("input", "target")}


LAYOUT = PublishedLayout("BIG-Bench Hard (bbh/TASK.json)", _places, _files, _recognises, _read)
