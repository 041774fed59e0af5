"""docs/notebook.ipynb: its cells run, and show what it holds."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parent.parent / "docs"


@pytest.mark.slow
def test_the_notebook_shows_what_its_cells_give() -> None:
    make = runpy.run_path(str(DOCS / "make_notebook.py"))
    text = make["PAGE"].read_text("utf-8")
    assert text == make["page"](text), "run: python docs/make_notebook.py"


def test_its_outputs_are_texts_and_it_is_small() -> None:
    text = (DOCS / "notebook.ipynb").read_text("utf-8")
    outputs = [output for cell in json.loads(text)["cells"] for output in cell.get("outputs", ())]
    assert outputs and len(text) < 10_000
    assert all(output["output_type"] == "stream" or {*output["data"]} == {"text/plain"} for output in outputs)
