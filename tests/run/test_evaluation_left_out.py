"""Rows that do not fit are asked of no model, whomever they do not fit for, and the run says how many."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from scripted_chats import ScriptedChat

from evalharness.engines.scripted import ScriptedFactory
from evalharness.errors import DataError
from evalharness.records.job_options import make_job
from evalharness.records.requests import Generate, Generation, Request
from evalharness.records.results import Results
from evalharness.run.evaluation import evaluate

ROWS = [{"text": "word " * words, "code": "7"} for words in (5, 10, 20, 40, 3000)]
TASK = """
task: long
dataset_path: json
dataset_kwargs: {data_files: {test: rows.jsonl}}
test_split: test
output_type: generate_until
doc_to_text: text
doc_to_target: code
generation_kwargs: {until: ["\\n"], max_gen_toks: 4}
metric_list: [{metric: contains}]
metadata: {too_long: leave_out}
"""
Evaluate = Callable[..., Results]


def reply(request: Request) -> Generation:
    assert isinstance(request, Generate)
    return Generation(request_id=request.id, text="7", finish_reason="stop", tokens=1)


@pytest.fixture
def run(zoo: dict[str, Path], tmp_path: Path) -> Evaluate:
    def evaluated(factory: ScriptedFactory, rows: list[dict[str, str]] = ROWS, **changes: object) -> Results:
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (tmp_path / "long.yaml").write_text(TASK)
        job = make_job(
            models=(f"c={zoo['llama-lora']}",),
            base=f"base={zoo['llama']}",
            include=(tmp_path,),
            tasks=("long",),
            out=tmp_path / "out",
            store=tmp_path / "store.sqlite",
            target="none",
            **changes,
        )
        return evaluate(job, factory=factory)

    return evaluated


def asked(factory: ScriptedFactory) -> dict[str, list[int]]:
    """The words of the texts that each model was asked."""
    by_model: dict[str, list[int]] = {}
    for model, request in factory.requests:
        assert isinstance(request, Generate)
        by_model.setdefault(model, []).append(len(re.findall("word", request.prompt)))
    return by_model


def test_what_does_not_fit_is_asked_of_nobody_and_said(run: Evaluate, tmp_path: Path) -> None:
    factory = ScriptedFactory(reply)
    found = run(factory)
    assert asked(factory) == {"base": [5, 10, 20, 40], "c": [5, 10, 20, 40]}
    (row,) = [each for each in found.comparisons if each.level == "task"]
    assert (row.n, row.left_out, row.available, found.errors) == (4, 1, 4, ())
    notices = json.loads((tmp_path / "out" / "run.json").read_text())["notices"]
    assert any("long: 4 of its 5 rows fit into" in each for each in notices)


def test_a_row_that_does_not_fit_by_one_template_is_asked_by_none(run: Evaluate) -> None:
    long = ScriptedChat(" turn" * 30)
    factory = ScriptedFactory(reply, chats={"base": ScriptedChat(), "c": long})
    found = run(factory, apply_chat_template=True, chat_template_mismatch="allow")
    counts = asked(factory)
    assert counts["base"] == counts["c"] and 1 <= len(counts["base"]) < 4 and found.errors == ()


def test_where_nothing_fits_the_run_ends_before_anything_is_asked(run: Evaluate) -> None:
    factory = ScriptedFactory(reply)
    with pytest.raises(DataError, match="long: none of its 1 rows fit into"):
        run(factory, rows=ROWS[-1:])
    assert not factory.requests
