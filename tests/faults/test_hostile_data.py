"""Data files that attack: bombs, devices, links, depths, lines without an end. Each is refused by name, in bounded
memory and time, or read for what it is.
"""

from __future__ import annotations

import gzip
import json
import os
import resource
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from evalharness.data.fetch import fetch, splits_to_fetch
from evalharness.data.sources import DataSource, read_rows
from evalharness.data.streams import text_rows
from evalharness.errors import DataError
from evalharness.records.tasks import Task
from evalharness.tasks.spec import task_from

MOST_MORE = 1 << 20  # KiB by which the process may grow


def own() -> Task:
    values = {"task": "own", "dataset_path": "who/what", "test_split": "test", "doc_to_text": "q", "doc_to_target": "a"}
    return task_from(values, Path("own.yaml"))


def gzip_bomb(path: Path) -> Path:
    """Some hundred kB that unpack to 640 MiB."""
    path.write_bytes(gzip.compress(b"\n" * (1 << 24)) * 40)
    return path


def table_bomb(path: Path) -> Path:
    """A few kB of Parquet: ten thousand rows of one text of a megabyte."""
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 10_000, pa.int32()), pa.array(["x" * (1 << 20)]))
    parquet.write_table(pa.table({"q": texts, "a": texts}), path, compression="zstd")
    assert path.stat().st_size < 100_000
    return path


def endless_line(path: Path) -> Path:
    with path.open("wb") as file:
        file.truncate(1 << 30)
    return path


def deep(path: Path, depth: int) -> Path:
    path.write_text('{"q": ' + "[" * depth + '"x"' + "]" * depth + ', "a": 1}\n')
    return path


def zip_bomb(path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("rows.csv", b"\0" * (1 << 20))
    return path


def link(path: Path, to: str) -> Path:
    path.symlink_to(to)
    return path


def pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


FILES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "bomb.jsonl.gz": (gzip_bomb, "unpacks to more than 128 MiB"),
    "bomb.parquet": (table_bomb, "unpacks to more than 128 MiB"),
    "bomb.zip": (zip_bomb, "suffix '.zip'"),
    "endless.jsonl": (endless_line, "longer than 64 MiB"),
    "endless.csv": (endless_line, "longer than 64 MiB"),
    "deep.jsonl": (lambda path: deep(path, 100_000), "nested too deeply"),
    "zero.jsonl": (lambda path: link(path, "/dev/zero"), "no regular file"),
    "random.csv": (lambda path: link(path, "/dev/urandom"), "no regular file"),
    "loop.csv": (lambda path: link(path, "loop.csv"), "does not exist|symbolic links"),
    "pipe.csv": (pipe, "no regular file"),
    "folder.csv": (lambda path: path.mkdir() or path, "has no split"),
    "cut.csv.gz": (lambda path: path.write_bytes(gzip.compress(b"q,a\n1,2\n" * 9)[:-9]) and path, "damaged gzip"),
}


@pytest.mark.fault(27)
@pytest.mark.parametrize("name", FILES)
def test_data_that_attacks_is_refused_within_bounds(tmp_path: Path, name: str) -> None:
    make, message = FILES[name]
    path = make(tmp_path / name)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError, match=message) as caught:
        read_rows(own(), "test", DataSource(overrides={"own": path}))
    assert name in str(caught.value) and caught.value.fix
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_MORE


@pytest.mark.fault(27)
@pytest.mark.parametrize("depth", [10, 300, 800, 950, 990])
def test_values_at_any_depth_are_read_or_refused(tmp_path: Path, depth: int) -> None:
    path = deep(tmp_path / "deep.jsonl", depth)
    for read in (lambda: read_rows(own(), "test", DataSource(overrides={"own": path})), lambda: list(text_rows(path))):
        try:
            assert read()
        except DataError as error:
            assert "deep" in str(error)


@pytest.mark.fault(27)
def test_links_lead_to_rows_and_never_out_of_a_folder_that_is_written(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"q": "x", "a": "y"}) + "\n")
    source = DataSource(overrides={"own": link(tmp_path / "linked.jsonl", str(rows))})
    assert len(read_rows(own(), "test", source).rows) == 1
    outside, folder = tmp_path / "outside", tmp_path / "to"
    outside.mkdir()
    folder.mkdir()
    link(folder / "who", str(outside))
    (each,) = splits_to_fetch([own()])
    with pytest.raises(DataError, match="is a link out of"):
        fetch(each, source, folder)
    assert not list(outside.iterdir())


@pytest.mark.fault(18)
@pytest.mark.parametrize(
    "text", ["a\x00b", "\u202eright to left\u202c", "🙂👩‍👩‍👧", "\ufeff", "\x1b[31m", "x" * 300_000, "\r\n"]
)
def test_odd_characters_are_read_as_they_are(tmp_path: Path, text: str) -> None:
    for name, data in (
        ("a.jsonl", json.dumps({"q": text, "a": "y"}).encode()),
        ("b.jsonl", json.dumps({"q": text, "a": "y"}, ensure_ascii=False).encode()),
        ("c.json", json.dumps([{"q": text, "a": "y"}]).encode()),
    ):
        (tmp_path / name).write_bytes(data)
        rows = read_rows(own(), "test", DataSource(overrides={"own": tmp_path / name})).rows
        assert rows[0]["q"] == text


@pytest.mark.fault(18)
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.tsv"])
@pytest.mark.parametrize("data", [b"\xff", b"\xc3\x28", b"\xed\xa0\x80", "é".encode("latin-1"), b"\xff\xfe\x00"])
def test_bytes_that_are_no_text_are_refused_with_their_file(tmp_path: Path, name: str, data: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"a\.\w+"):
        read_rows(own(), "test", DataSource(overrides={"own": path}))
