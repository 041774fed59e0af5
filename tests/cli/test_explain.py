"""`evalharness tasks explain` as a user meets it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import exit_code

COLD = ("--output", "cold cold cold cold", "--reference", "It is cold outside")


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = exit_code("tasks", "explain", *arguments)
    return code, *capsys.readouterr()


def test_of_two_texts_it_shows_counts_and_scores(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(capsys, *COLD)
    assert code == 0 and "matches 1, output 4, reference 4, precision 0.25, recall 0.25, f1 0.25" in out
    assert ["cold", "4", "1", "1"] in [line.split() for line in out.splitlines()]
    code, out, _ = said(
        capsys, *COLD, "--metric", "rouge2:use_stemmer=true", "--metric", "bleu:tokenize=none", "--json"
    )
    rouge, bleu = json.loads(out)
    assert "stemmer:porter" in rouge["signature"] and rouge["measures"]["matches"] == 0
    assert bleu["measures"]["precision1"] == 25.0 and "tok:none" in bleu["signature"]


def test_of_a_run_it_takes_what_was_written_and_what_is_right(
    make_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run("run", {"a": 5})
    sample = json.loads((run / "samples/echo/a.jsonl").read_text().splitlines()[0])
    code, out, _ = said(capsys, "echo", "--run", run, "--example", sample["id"], "--metric", "rouge1")
    assert code == 0 and out.startswith(f"output: {sample['output']}\nreference: {sample['reference']}\n")
    for wrong, why in (
        (("echo", "--run", run, "--example", "none", "--metric", "rouge1"), "--example: no example 'none' of echo"),
        (("echo", "--run", run, "--example", sample["id"], "--model", "b"), "--model: no model 'b' in"),
        (("other", "--run", run, "--example", sample["id"]), "has no samples of a on other"),
    ):
        code, _, error = said(capsys, *wrong)
        assert code == 2 and why in error


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--output", "a"), "needs --output and --reference, or TASK with --run and --example"),
        ((*COLD, "--run", "."), "--run takes the texts of one example of TASK, and no others"),
        (("sst2", *COLD), "sst2: has no metric that can be explained; give --metric: rouge1,"),
        ((*COLD, "--metric", "rouge0"), "metric rouge0: has no explanation"),
        ((*COLD, "--metric", "bleu:tokenize"), "--metric bleu: 'tokenize' is not NAME=VALUE"),
        ((*COLD, "--metric", "bleu:tokenize=[a"), "--metric bleu: tokenize is '[a'"),
        ((*COLD, "--metric", "bleu:tokenize=[a]"), "metric bleu: tokenize is ['a']"),
    ],
)
def test_what_cannot_be_explained_ends_with_2(
    arguments: tuple[str, ...], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, error = said(capsys, *arguments)
    assert code == 2 and why in error
