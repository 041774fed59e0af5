"""Which reader takes what lies at a path, and what is said of a path that none takes."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import exit_code
from imports.log_mutations import LOGS, forms

from evalharness.imports import readers


@pytest.mark.parametrize("tool", forms())
@pytest.mark.parametrize("model", ["base", "tuned"])
def test_one_reader_alone_takes_a_recorded_log(tool: str, model: str) -> None:
    assert [reader.is_log(LOGS / tool / model) for reader in readers.READERS].count(True) == 1


def test_what_can_be_compared_is_made_of_the_readers() -> None:
    assert all(reader.description in readers.WANTED for reader in readers.READERS)
    assert readers.WANTED.startswith("runs of evalharness, ") and readers.WANTED.endswith("parquet)")


@pytest.mark.parametrize("name", ["results.json", "model/results_2026-01-02T03-04-05.678901.json", "x.eval/y", "a/b/c"])
def test_a_folder_of_other_files_is_described(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "folder" / name
    file.parent.mkdir(parents=True)
    file.write_text("{}")
    assert exit_code("compare", tmp_path / "folder", tmp_path / "folder") == 2
    errors = capsys.readouterr().err
    if name.startswith("model"):
        assert "results and no samples; run lm-eval again with --log_samples" in errors
    elif name != "results.json":  # which is a run's, without measurements
        assert f"holds no run and no log ({name.partition('/')[0]}/); compare takes {readers.WANTED}" in errors
