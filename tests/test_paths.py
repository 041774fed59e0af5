"""Where things lie when nobody says."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalharness import paths


def test_shipped_folders_are_found() -> None:
    assert (paths.shipped("tasks") / "suites" / "demo.yaml").is_file()
    with pytest.raises(FileNotFoundError, match="nothing"):
        paths.shipped("nothing")


def test_the_store_follows_the_environment() -> None:
    assert paths.default_store({"EVALHARNESS_STORE": "/a/b.sqlite", "XDG_CACHE_HOME": "/c"}) == Path("/a/b.sqlite")
    assert paths.default_store({"XDG_CACHE_HOME": "/c"}) == Path("/c/evalharness/store.sqlite")
    assert paths.default_store({}) == Path.home() / ".cache" / "evalharness" / "store.sqlite"


def test_run_folders_are_named_by_suite() -> None:
    assert paths.run_folder("demo").name.endswith("-demo")
    assert paths.run_folder(None).parent == paths.run_folder("../../x").parent == Path("runs")
    assert paths.run_folder("a/b:c\nd").name.endswith("-a_b_c_d")
