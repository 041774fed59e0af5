"""`evalharness store`: what it prints, and its exit codes; advice that is followed helps."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from command_line import exit_code

from evalharness.records.requests import Scoring
from evalharness.store import Store

FINGERPRINT = "ab" * 32


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = tmp_path / "of answers" / "store.sqlite"
    with Store(place) as store:
        for number in range(9):
            store.add(FINGERPRINT, "e" * 64, [Scoring(request_id=f"r{number}", logprob=-1.0, tokens=2)])
        store.note_use(FINGERPRINT, "e" * 64, "lora::x", "sst2")
    return place


def test_info_names_models_tasks_and_times(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("store", "info", "--store", path) == 0
    head, line = capsys.readouterr().out.splitlines()
    assert head.startswith(f"{path}: 9 answers of 1 models, ") and head.endswith(
        "version 2, 0 damaged, 0 in quarantine"
    )
    assert line.startswith("  model abababababab (lora::x) by engine eeeeeeeeeeee: 9 scoring, ")
    assert ", first used 20" in line and line.endswith(", tasks sst2")
    assert exit_code("store", "info", "--store", path, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["sources"][0]["model"] == FINGERPRINT and document["path"] == str(path)


def test_a_damaged_store_is_repaired_as_the_error_says(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("store", "verify", "--store", path) == 0
    assert capsys.readouterr().out == f"{path}: all 9 rows are intact\n"
    content = bytearray(path.read_bytes())
    content[content.index(b'"logprob": -1.0') + 11] ^= 1
    path.write_bytes(content)
    assert exit_code("store", "verify", "--store", path) == 2
    errors = capsys.readouterr().err
    assert "1 of 9 rows do not fit their digests" in errors
    (advice,) = re.findall("`evalharness (.+?)`", errors)
    assert exit_code(*shlex.split(advice)) == 0
    repaired = capsys.readouterr()
    assert "all 8 rows are intact" in repaired.out and "set aside as store.sqlite.damaged-1" in repaired.err
    assert exit_code("store", "info", "--store", path) == 0
    assert "set aside as damaged" in capsys.readouterr().out


def test_nothing_is_deleted_without_yes(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("store", "gc", "--store", path) == 2
    assert exit_code("store", "gc", "--store", path, "--max-size", "many") == 2
    assert "'many' is no size; 500M or 2G would be right" in capsys.readouterr().err
    for more in (
        ("--max-size", "1K"),
        ("--model", "lora::x"),
        ("--older-than", "0"),
        ("--model", "ababab", "--dry-run"),
    ):
        assert exit_code("store", "gc", "--store", path, *more) == 0
        assert "9 answers of 9 would be deleted; nothing was deleted: give --yes" in capsys.readouterr().out
    assert exit_code("store", "gc", "--store", path, "--max-size", "1.5G") == 0
    assert "0 answers of 9 would be deleted" in capsys.readouterr().out
    assert exit_code("store", "gc", "--store", path, "--model", "ababab", "--yes") == 0
    assert "9 answers of 9 deleted" in capsys.readouterr().out
    assert exit_code("store", "info", "--store", path) == 0
    assert "0 answers of 0 models" in capsys.readouterr().out


def test_answers_are_exported_to_a_new_file_only(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "answers.jsonl"
    assert exit_code("store", "export", "--store", path, "--to", file, "--model", "lora::x") == 0
    assert capsys.readouterr().out == f"{file}: 9 answers\n" and len(file.read_text().splitlines()) == 9
    assert exit_code("store", "export", "--store", path, "--to", file) == 2
    assert "exists already; name a new file" in capsys.readouterr().err
