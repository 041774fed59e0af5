"""Every tool's recorded logs, damaged or changed in every named way: exit code 2 or 5, and never a traceback."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import exit_code
from imports.log_mutations import LOGS, MUTATIONS, Place, forms, get, put

from evalharness.errors import EvalHarnessError
from evalharness.imports.logged import ModelLog
from evalharness.imports.measurements import import_logs
from evalharness.imports.readers import reader_of
from evalharness.tasks.library import Library

FORMS = forms()
LIBRARY = Library()
ODDITIES = (None, True, 3, "x", [], [None], {}, {"a": [1]}, 10**400)


def copied(tool: str, model: str, folder: Path) -> Path:
    """A copy of a recorded log, of which a comparison ends with 0."""
    shutil.copytree(LOGS / tool / model, folder / model)
    FORMS[tool].prepare(folder / model)
    return folder / model


@pytest.mark.parametrize("tool", FORMS)
def test_the_logs_as_they_were_recorded_are_compared(
    tmp_path: Path, tool: str, capsys: pytest.CaptureFixture[str]
) -> None:
    base, tuned = (copied(tool, model, tmp_path) for model in ("base", "tuned"))
    FORMS[tool].save(tuned, FORMS[tool].load(tuned))  # written again as they are
    assert exit_code("compare", base, tuned, "--json") == 0
    rows = [row for row in json.loads(capsys.readouterr().out)["comparisons"] if row["level"] == "task"]
    assert any(row["lost"] for row in rows)  # or the two models are one


def is_slow(tool: str, mutation: str) -> bool:
    """What is changed at a file's other end, and the rows of nemo's second layout, whose quick test is nemo's own."""
    return mutation.endswith("(last)") or (tool == "nemo_lines" and "file" not in mutation)


@pytest.mark.parametrize(
    ("tool", "mutation"),
    [
        pytest.param(tool, mutation, marks=pytest.mark.slow if is_slow(tool, mutation) else ())
        for tool, form in FORMS.items()
        for mutation in MUTATIONS
        if form.choices or not mutation.startswith(("choices", "one choice"))
    ],
)
def test_no_change_of_a_log_passes_as_a_comparison(
    tmp_path: Path, tool: str, mutation: str, capsys: pytest.CaptureFixture[str]
) -> None:
    form = FORMS[tool]
    base, tuned = (copied(tool, model, tmp_path) for model in ("base", "tuned"))
    MUTATIONS[mutation](form, tuned)
    code = exit_code("compare", base, tuned, "--out", tmp_path / "compared")
    output = capsys.readouterr()
    assert code in (2, 5), output
    assert "Traceback" not in output.err
    assert output.err.strip()  # why


def places(value: Any, at: Place = ()) -> Iterator[Place]:
    """Every place in a row, the inner ones, too."""
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield (*at, key)
        yield from places(value[key], (*at, key))


@pytest.mark.parametrize("every", [1, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("tool", FORMS)
def test_no_row_however_odd_is_a_crash(tmp_path: Path, tool: str, every: int) -> None:
    """Something else in the place of every value of a row, one after the other; `every`: how many things else."""
    form = FORMS[tool]
    base, tuned = (copied(tool, model, tmp_path) for model in ("base", "tuned"))

    def read(folder: Path) -> ModelLog:
        reader = reader_of(folder)
        assert reader is not None
        return reader.read(folder, folder.name, LIBRARY)

    before, rows = read(base), form.load(tuned)
    refused = 0
    for number, place in enumerate(places(rows[1])):
        odd = copy.deepcopy(rows)
        value = ODDITIES[number % len(ODDITIES)]
        others = (value, [get(odd[1], place)], {"of": get(odd[1], place)})
        for each in (others[(number + shift) % 3] for shift in range(every)):
            put(odd[1], place, each)
            form.save(tuned, odd)
            try:
                import_logs(before, [read(tuned)], LIBRARY)
            except EvalHarnessError:
                refused += 1
    assert refused > 5  # what says what was asked and answered
