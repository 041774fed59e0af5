"""How inspect_ai's logs are changed: the choices of choose.eval, written as JSON; the other files stay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from imports.log_mutations import LogForm, Row

from evalharness.imports.inspect_files import read_header, read_samples

CHOOSE = "choose.json"


def prepare(folder: Path) -> None:
    """Leave out the log with an error, and write that with choices as JSON."""
    (folder / "broken.eval").unlink()
    log = read_header(folder / "choose.eval")
    samples, _ = read_samples(log)
    (folder / CHOOSE).write_text(json.dumps({**log.header, "samples": [sample for _, sample in samples]}))
    (folder / "choose.eval").unlink()


def document(folder: Path) -> dict[str, Any]:
    return json.loads((folder / CHOOSE).read_text())


def save(folder: Path, rows: list[Row]) -> None:
    (folder / CHOOSE).write_text(json.dumps({**document(folder), "samples": rows}))


def second_model(folder: Path) -> None:
    whole = document(folder)
    whole["eval"]["model"] = "mockllm/other"
    (folder / "other.json").write_text(json.dumps(whole))


FORM = LogForm(
    prepare=prepare,
    files=lambda folder: [*folder.glob("*.eval"), *folder.glob("*.json")],
    load=lambda folder: document(folder)["samples"],
    save=save,
    ids=[("id",)],
    prompts=[("messages", 0, "content")],
    golds=[("target",)],
    scores=[("scores", "choice", "value")],
    choices=[("choices",)],
    second_model=second_model,
    other_gold=lambda old: "C" if old == "A" else "A",
)
