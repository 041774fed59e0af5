"""A file is whole or not there: with several writers at once, after a kill, and where writing fails."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from evalharness.whole_file import whole_file, write_whole

KILLED = """
import os, sys
from pathlib import Path
from evalharness.whole_file import whole_file
with whole_file(Path(sys.argv[1])) as file:
    file.write(b"half")
    file.flush()
    os._exit(9)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_of_writers_at_once_the_last_one_wins_and_none_fails(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with whole_file(path) as first:
        first.write(b"first")
        write_whole(path, b"second")
        assert path.read_bytes() == b"second"
    assert path.read_bytes() == b"first" and names(tmp_path) == ["file"]
    texts = [bytes([65 + n]) * 10_000 for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: write_whole(path, text), texts * 8))
    assert path.read_bytes() in texts and names(tmp_path) == ["file"]


def test_what_a_killed_writer_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "file[1]"
    write_whole(path, b"whole")
    assert subprocess.run([sys.executable, "-c", KILLED, path], check=False).returncode == 9
    assert path.read_bytes() == b"whole" and len(names(tmp_path)) == 2
    write_whole(path, b"next")
    assert path.read_bytes() == b"next" and names(tmp_path) == ["file[1]"]


def test_where_writing_fails_the_older_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, b"older")
    with pytest.raises(ZeroDivisionError), whole_file(path) as file:
        file.write(bytes([1 // 0]))
    assert path.read_bytes() == b"older" and names(tmp_path) == ["file"]
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        write_whole(tmp_path / "folder", b"")
    assert names(tmp_path) == ["file", "folder"]


def test_others_may_read_it_as_the_process_allows_and_its_name_may_be_as_long_as_any(tmp_path: Path) -> None:
    path, other = tmp_path / ("ü" * 127), tmp_path / "other"
    write_whole(path, b"")
    other.write_bytes(b"")
    assert os.stat(path).st_mode == os.stat(other).st_mode
