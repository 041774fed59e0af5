"""What `compare --out` keeps of the texts of logs and tables: samples/ as a run leaves them, for the examples shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import exit_code
from imports.tiny_logs import line

import evalharness
from evalharness.errors import UsageError
from evalharness.results import read_samples

WriteLog = Callable[..., Path]


def examples(out: Path, task: str) -> list[dict[str, object]]:
    return evalharness.load(out).examples(task, lost=True).to_dict("records")


def written(number: int, said: str, acc: float) -> dict[str, object]:
    """A line of a task on which something is written, with the text before and after the filter."""
    values = line(number, choices=1, target="four", pipe="strict", exact_match=acc)
    return {**values, "resps": [[f"It is {said}."]], "filtered_resps": [said]}


def test_texts_of_lm_evals_lines(tmp_path: Path, write_log: WriteLog, capsys: pytest.CaptureFixture[str]) -> None:
    ranked = [line(i, acc=1.0, target="0") for i in range(4)]
    lost = [{**each, "filtered_resps": [["-2.0", "False"], ["-1.0", "False"]], "acc": 0.0} for each in ranked]
    base = write_log("base", {"choose": ranked, "write": [written(i, "four", 1.0) for i in range(4)]})
    tuned = write_log("tuned", {"choose": lost, "write": [written(i, "five", 0.0) for i in range(4)]})
    out = tmp_path / "out"
    assert exit_code("compare", base, tuned, "--out", out) == 0
    chosen, said = examples(out, "choose")[0], examples(out, "write")[0]
    assert [chosen[key] for key in ("prompt", "reference", "base_output", "candidate_output")] == [
        "question 0", "0", "0", "1",
    ]  # fmt: skip
    assert (said["reference"], said["base_output"], said["candidate_output"]) == ("four", "It is four.", "It is five.")
    assert (said["base_score"], said["candidate_score"]) == (1.0, 0.0)
    assert exit_code("report", out) == 0
    assert "It is five." in (out / "report.html").read_text()
    capsys.readouterr()


def test_texts_of_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("1", "How many?", "two", "two"), ("2", "Who?", "<b>she</b>", "she")]
    for name, given in (("base", ("two", "she")), ("tuned", ("two", "<b>he</b>"))):
        lines = [
            {"id": i, "prompt": ask, "prediction": said, "answer": right}
            for (i, ask, _, right), said in zip(rows, given, strict=True)
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
    out = tmp_path / "out"
    assert exit_code("compare", tmp_path / "base.jsonl", tmp_path / "tuned.jsonl", "--out", out) == 0
    (example,) = examples(out, "base")
    assert (example["prompt"], example["base_output"], example["candidate_output"]) == ("Who?", "she", "<b>he</b>")
    assert exit_code("report", out) == 0
    assert "<b>he</b>" not in (out / "report.html").read_text()  # escaped
    capsys.readouterr()


def test_scores_alone_leave_no_samples_and_an_older_comparisons_are_taken_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, head in (("with", "id,prompt,score"), ("without", "id,score")):
        row = "{0},why {0},1" if name == "with" else "{0},1"
        for model in ("base", "tuned"):
            (tmp_path / name).mkdir(exist_ok=True)
            text = "\n".join([head, *(row.format(i) for i in range(4))])
            (tmp_path / name / f"{model}.csv").write_text(text)
    out = tmp_path / "out"
    assert exit_code("compare", *sorted((tmp_path / "with").iterdir()), "--out", out) == 0
    assert [sample.prompt for sample in read_samples(out, "base", "tuned")] == [f"why {i}" for i in range(4)]
    assert exit_code("compare", *sorted((tmp_path / "without").iterdir()), "--out", out) == 0
    assert not read_samples(out, "base", "tuned")
    with pytest.raises(UsageError, match="no texts of base are beside these results"):
        examples(out, "base")
    capsys.readouterr()


def test_a_metric_of_which_less_is_better_gives_no_single_losses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, score in (("base", 0.1), ("tuned", 0.4)):
        lines = [f"{i},why {i},{score},wer" for i in range(4)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["id,prompt,score,metric", *lines]))
    args = ("--metric", "wer:high=1")
    assert exit_code("compare", tmp_path / "base.csv", tmp_path / "tuned.csv", *args, "--out", tmp_path / "out") == 0
    assert {sample.score for sample in read_samples(tmp_path / "out", "base", "tuned")} == {None}
    capsys.readouterr()
