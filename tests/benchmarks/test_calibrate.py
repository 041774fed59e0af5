"""The calibration's golden rows: targets hold in them, the pages show them, and the same code draws the small ones
again.
"""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "benchmarks" / "calibrate"
PAGES = [(ROOT / "docs" / name).read_text("utf-8") for name in ("statistics.md", "calibration.md")]
FULL = json.loads((HERE / "goldens" / "full.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def calibrate() -> Iterator[dict[str, Any]]:
    """What the script has, and the modules beside it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(HERE)
        yield runpy.run_path(str(HERE / "__main__.py"))
        for name in [
            name for name, module in sys.modules.items() if str(getattr(module, "__file__", "")).startswith(str(HERE))
        ]:
            patch.delitem(sys.modules, name)


def test_every_target_is_met(calibrate: dict[str, Any]) -> None:
    targets = calibrate["targets"]
    assert [(claim.what, claim.cell, claim.value) for claim in targets.missed(FULL)] == []
    assert {part for part in FULL if targets.claims_of({part: FULL[part]})} == {
        "margin",
        "suites",
        "needed",
        "foretold",
        "watched",
        "until",
    }


def test_the_pages_show_what_was_drawn(calibrate: dict[str, Any]) -> None:
    assert calibrate["tables"].filled(PAGES, FULL) == PAGES, "run: python benchmarks/calibrate --only nothing"
    with pytest.raises(ValueError, match="no page has the mark"):
        calibrate["tables"].filled(["a page"], FULL)


def test_every_cell_was_drawn(calibrate: dict[str, Any]) -> None:
    """No row of the golden is of a cell that is there no more, and none is lacking but for worlds that cannot be."""
    drawn = {(row["group"], row["cell"]) for row in FULL["margin"]}
    cells = [(cell.group, cell.name) for cell in calibrate["margin"].cells()]
    assert drawn <= set(cells) and len(cells) == len(set(cells)) and len(cells) - len(drawn) < 30
    assert [(row["group"], row["cell"]) for row in FULL["suites"]] == [
        (case.kind, case.name) for case in calibrate["suites"].cases()
    ]
    for part in ("needed", "foretold", "until"):
        assert [(row["group"], row["cell"]) for row in FULL[part]] == [
            (case.group, case.name) for case in calibrate[part].cases()
        ]
    assert [row["cell"] for row in FULL["rival"]] == [case.name for case in calibrate["rival"].cases()]


@pytest.mark.slow
def test_the_small_rows_are_drawn_again(calibrate: dict[str, Any]) -> None:
    assert calibrate["small"]() == json.loads((HERE / "goldens" / "small.json").read_text("utf-8")), (
        "what is drawn has changed: make calibrate"
    )


def test_what_is_missed_is_said_and_ends_with_1(
    calibrate: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = {part: [dict(row) for row in FULL[part]] for part in FULL}
    (tmp_path / "full.json").write_text(json.dumps(rows), "utf-8")
    again = ["--only", "nothing", "--out", str(tmp_path)]
    assert calibrate["main"](again) == 0 and "missed" not in capsys.readouterr().out.lower()
    rows["margin"][0] |= {"forgotten": 0.066, "draws": 1500}
    (tmp_path / "full.json").write_text(json.dumps(rows), "utf-8")
    assert calibrate["main"](again) == 1
    assert "missed: a task at its margin: wrongly forgotten: 6.6 %, at most 6.5 %" in capsys.readouterr().out
    assert "| **no** |" in (tmp_path / "statistics.md").read_text("utf-8")


def margin_row(**changes: Any) -> dict[str, Any]:
    return {
        "group": "summaries",
        "cell": "c",
        "units": 200,
        "draws": 1500,
        "forgotten": 0.065,
        "retained": 0.0,
        "covered": 0.88,
        **changes,
    }


@pytest.mark.parametrize(
    "changes,missed",
    [
        ({}, 0),
        ({"forgotten": 0.0651}, 1),
        ({"forgotten": 0.08, "draws": 1000}, 0),  # two standard errors are .0156
        ({"forgotten": 0.081, "draws": 1000}, 1),
        ({"retained": 0.07, "covered": 0.87}, 2),
        ({"covered": 0.5, "units": 199}, 0),  # shown, not held
        ({"covered": 0.87, "units": 40, "group": "passages"}, 1),
        (
            {"forgotten": 0.2, "covered": 0.5, "units": 500, "group": "all scores change"},
            0,
        ),  # a stress test, shown and not held
    ],
)
def test_what_a_row_at_its_margin_is_held_to(calibrate: dict[str, Any], changes: dict[str, Any], missed: int) -> None:
    assert len(calibrate["targets"].missed({"margin": [margin_row(**changes)]})) == missed


@pytest.mark.parametrize(
    "part,row,missed",
    [
        ("suites", {"group": "all at their margin", "cell": "c", "draws": 1500, "any forgotten": 0.071}, 1),
        ("suites", {"group": "all at their margin", "cell": "c", "draws": 1500, "gate fails": 0.101}, 1),
        ("suites", {"group": "suite at its margin", "cell": "c", "draws": 1500, "suite forgotten": 0.066}, 2),
        ("suites", {"group": "nothing changed, bases near chance", "cell": "c", "draws": 1500, "gate fails": 0.031}, 1),
        ("suites", {"group": "nothing changed", "cell": "15 × 500, flips 0.2", "draws": 1500, "gate passes": 0.89}, 1),
        ("suites", {"group": "nothing changed", "cell": "c", "draws": 1500, "gate passes": 0.5}, 0),
        ("suites", {"group": "one lost ten points", "cell": "15 × 500, flips 0.15", "draws": 1500, "found": 0.94}, 1),
        ("suites", {"group": "one lost ten points", "cell": "c", "draws": 1500, "found": 0.1}, 0),
        (
            "suites",
            {
                "group": "nothing changed",
                "cell": "c",
                "draws": 900,
                "gate passes": 0.84,
                "foretold passes": 0.8,
                "foretold draws": 900,
            },
            0,
        ),
        (
            "suites",
            {
                "group": "nothing changed",
                "cell": "c",
                "draws": 900,
                "gate passes": 0.87,
                "foretold passes": 0.8,
                "foretold draws": 900,
            },
            1,
        ),
        ("needed", {"group": "g", "cell": "c", "draws": 3600, "as named": 0.74}, 1),
        ("needed", {"group": "g", "cell": "c", "draws": 3600, "as named": 0.91}, 1),
        (
            "foretold",
            {
                "group": "g",
                "cell": "c",
                "draws": 40_000,
                "foretold draws": 0,
                "retained foretold": 0.8,
                "retained": 0.835,
            },
            1,
        ),
        (
            "until",
            {"group": "one at its margin", "cell": "c", "draws": 10_000, "asked": 1.0, "first retained": 0.06},
            1,
        ),
        ("until", {"group": "one at its margin", "cell": "c", "draws": 100, "asked": 1.0, "first retained": 0.06}, 0),
        (
            "until",
            {"group": "suite at its margin", "cell": "c", "draws": 10_000, "asked": 1.0, "suite retained": 0.06},
            1,
        ),
        (
            "until",
            {"group": "one of 15 lost ten points", "cell": "c", "draws": 500, "asked": 0.9, "alone found": 0.94},
            1,
        ),
        ("until", {"group": "one", "cell": "1 × 1000 answers, flips 0.1, lost 0.08", "draws": 500, "asked": 0.26}, 1),
        (
            "watched",
            {
                "cell": "c",
                "n": 1000,
                "flips": 0.1,
                "difference": -0.08,
                "margin": 0.02,
                "draws": 1500,
                "forgotten": 1.0,
                "retained": 0.0,
                "share": 0.26,
            },
            1,
        ),
        (
            "watched",
            {
                "cell": "c",
                "n": 1000,
                "flips": 0.1,
                "difference": 0.0,
                "margin": 0.02,
                "draws": 1500,
                "forgotten": 0.06,
                "retained": 0.9,
                "share": 0.6,
            },
            1,
        ),
    ],
)
def test_what_other_rows_are_held_to(calibrate: dict[str, Any], part: str, row: dict[str, Any], missed: int) -> None:
    assert len(calibrate["targets"].missed({part: [row]})) == missed
