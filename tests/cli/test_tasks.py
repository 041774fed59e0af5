"""`evalharness tasks` as a user meets it."""

from __future__ import annotations

import json
import re
from collections import Counter
from importlib.resources import files
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from evalharness.cli.tasks import tasks_command
from evalharness.errors import TaskError
from evalharness.tasks.library import Library
from evalharness.tasks.validation import FileStatus, file_status

GOOD = """
task: mine
dataset_path: rows
dataset_name: null
test_split: test
training_split: train
output_type: multiple_choice
doc_to_text: "{{q}}"
doc_to_target: label
doc_to_choice: ["no", "yes"]
metric_list: [{metric: acc}]
"""


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(
        tasks_command, [str(argument) for argument in arguments], catch_exceptions=True, standalone_mode=False
    )


def test_list_shows_tasks_groups_and_suites() -> None:
    done = run("list")
    assert done.exception is None
    assert "sst2" in done.output and "group mmlu_continuation" in done.output and "suite demo" in done.output


def test_list_as_json_says_of_each_task_what_a_script_needs() -> None:
    by_name = {task["task"]: task for task in json.loads(run("list", "--json").output)["tasks"]}
    keys = {"task", "family", "output_type", "primary", "metrics", "chance", "unit", "margin", "source", "lm_eval"}
    assert all(keys <= set(task) for task in by_name.values())
    sst2 = by_name["sst2"]
    assert (sst2["family"], sst2["output_type"], sst2["primary"], sst2["metrics"]) == (
        "glue",
        "multiple_choice",
        "acc",
        ["acc"],
    )
    assert sst2["human"]["value"] == 0.978 and re.search(r"human\.value +0\.978", run("show", "sst2").output)
    assert (sst2["chance"], sst2["unit"], sst2["margin"]) == (0.5, "example", 0.02) and sst2["source"].endswith(
        "tasks/glue/sst2.yaml"
    )


def test_parts_and_other_ways_of_asking_are_listed_when_asked_for(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(GOOD)
    (tmp_path / "part.yaml").write_text(
        GOOD.replace("task: mine", "task: mine_part")
        + "tag: parts\nmetadata: {variant_of: mine, unit_name: pair, licence: CC0}\n"
    )

    def names(*arguments: str) -> set[str]:
        document = json.loads(run("list", *arguments, "--include-path", tmp_path, "--json").output)["tasks"]
        return {task["task"] for task in document} & {"mine", "mine_part"}

    assert names() == names("--family", "other") == {"mine"}
    assert names("--all") == names("mine*") == names("--family", "other", "--all") == {"mine", "mine_part"}
    assert names("--tag", "parts") == names("mine_part") == {"mine_part"}
    part = json.loads(run("list", "mine_part", "--include-path", tmp_path, "--json").output)["tasks"][0]
    assert (part["variant_of"], part["unit"], part["licence"], part["tags"]) == ("mine", "pair", "CC0", ["parts"])


def test_list_goes_on_past_what_cannot_run(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(GOOD)
    (tmp_path / "code.yaml").write_text(
        GOOD.replace("task: mine", "task: coded") + "process_docs: !function utils.docs\n"
    )
    (tmp_path / "group.yaml").write_text("group: both\ntask: [mine, coded]\n")
    document = json.loads(run("list", "--include-path", tmp_path, "--json").output)
    assert "mine" in {task["task"] for task in document["tasks"]} and {"coded", "both"} <= set(document["cannot run"])
    assert "more cannot run here" in run("list", "--include-path", tmp_path).output
    assert "process_docs is Python code" in str(run("list", "coded", "--include-path", tmp_path).exception)


def test_list_touches_no_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("rows were read")

    monkeypatch.setattr("evalharness.data.sources.read_file", refuse)
    monkeypatch.setattr("evalharness.data.sources.locate", refuse)
    assert run("list", "--all").exception is None


def test_list_narrows_by_name_family_and_tag() -> None:
    document = json.loads(run("list", "mmlu_*", "--json").output)
    assert document["tasks"] and all(task["task"].startswith("mmlu_") for task in document["tasks"])
    assert {task["family"] for task in json.loads(run("list", "--family", "superglue", "--json").output)["tasks"]} == {
        "superglue"
    }
    assert "cola" in run("list", "--tag", "glue").output


@pytest.mark.parametrize(
    ("arguments", "hint"), [(("sst3",), "sst2"), (("--tag", "gleu"), "glue"), (("--family", "gleu"), "glue")]
)
def test_list_of_nothing_is_an_error_with_a_suggestion(arguments: tuple[str, ...], hint: str) -> None:
    error = run("list", *arguments).exception
    assert isinstance(error, TaskError) and f"did you mean {hint}" in str(error)


def test_show_prints_prompts_with_and_without_shots(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(GOOD)
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "test.jsonl").write_text('{"q": "To be?", "label": 1}\n')
    (tmp_path / "rows" / "train.jsonl").write_text('{"q": "Shot?", "label": 0}\n')
    done = run("show", tmp_path / "mine.yaml", "--data-dir", tmp_path, "--num-fewshot", "1")
    assert done.exception is None
    assert "with 0 shots\nTo be?\n=== wrong: ' no'\n=== right: ' yes'" in done.output
    assert "with 1 shots\nShot? no\n\nTo be?\n" in done.output


def test_show_uses_the_embedded_world_where_there_is_nothing_else() -> None:
    done = run("show", "sst2")
    assert "negative" in done.output and "rows of the embedded world" in done.output
    assert json.loads(run("show", "sst2", "--json").output)["prompts"][0]["num_fewshot"] == 0


def test_show_says_why_there_are_no_prompts(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(GOOD)
    assert "no rows at hand" in run("show", tmp_path / "mine.yaml").output


def test_show_of_groups_suites_and_tags() -> None:
    assert "mmlu_astronomy_continuation" in run("show", "mmlu_continuation").output
    assert json.loads(run("show", "forgetting", "--json").output)["limit"] == 500
    assert "stands for" in run("show", "superglue_diagnostic").output
    assert isinstance(run("show", "nothing_like_it").exception, TaskError)


def test_show_of_a_name_that_a_suite_has_too(tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text("suite: sst2\ntasks: [sst2]\nlimit: 7\n")
    document = json.loads(run("show", "sst2", "--include-path", tmp_path, "--json").output)
    assert document["name"] == "sst2" and document["suite"]["limit"] == 7
    assert "suite.limit" in run("show", "sst2", "--include-path", tmp_path).output
    assert json.loads(run("show", tmp_path / "suite.yaml", "--json").output)["suite"]["limit"] == 7


def test_show_tells_wordings_licence_and_source(tmp_path: Path) -> None:
    ours = {"licence": "CC0", "templates": {"plain": {"doc_to_text": "{{q}}?"}}, "unit_name": "pair"}
    (tmp_path / "mine.yaml").write_text(GOOD + f"metadata: {json.dumps(ours)}\n")
    done = run("show", tmp_path / "mine.yaml").output
    for said in ("wordings.plain.doc_to_text  {{q}}?", "CC0", str(tmp_path / "mine.yaml"), "unit_name"):
        assert said in done, said


def test_show_uses_invented_rows_for_tasks_that_the_world_does_not_have() -> None:
    output = run("show", "cb").output
    assert "with 2 shots" in output and "invented rows" in output


def test_show_still_shows_the_question_where_there_are_no_shots(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(GOOD)
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "test.jsonl").write_text('{"q": "To be?", "label": 1}\n')
    output = run("show", tmp_path / "mine.yaml", "--data-dir", tmp_path).output
    assert "with 0 shots\nTo be?" in output and "no prompt with shots" in output


def test_show_neutralises_control_characters(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(GOOD)
    (tmp_path / "test.json").write_text(json.dumps([{"q": "\x1b[31mred\u202e", "label": 0}]))
    output = run(
        "show", tmp_path / "mine.yaml", "--data", f"mine={tmp_path / 'test.json'}", "--num-fewshot", "0"
    ).output
    assert "\x1b" not in output and "\u202e" not in output and "\\u001b[31mred" in output


def test_validate_tells_four_kinds_apart(tmp_path: Path) -> None:
    files = {
        "good": GOOD,
        "code": GOOD + "process_docs: !function utils.docs\n",
        "other": GOOD.replace("acc}", "bypass}"),
        "typo": GOOD + "doc_to_texx: x\n",
        "option": GOOD.replace("metric: acc", "metric: acc, stem: true"),
    }
    for name, text in files.items():
        (tmp_path / f"{name}.yaml").write_text(text.replace("task: mine", f"task: {name}"))
    done = run("validate", tmp_path, "--json")
    by_name = {Path(each["path"]).stem: each["standing"] for each in json.loads(done.output)}
    assert by_name == {
        "good": "runs",
        "code": "needs code",
        "other": "not supported",
        "typo": "wrong",
        "option": "wrong",
    }
    assert done.return_value == 2
    assert run("validate", tmp_path / "good.yaml").return_value == 0
    assert "doc_to_texx" in run("validate", tmp_path / "typo.yaml").output


METRICS = "metric_list: [{metric: acc}]"
SAME = {  # changes of GOOD: what contradicts the claim
    "holds": ({}, ""),
    "elsewhere": (
        {METRICS: "metric_list: [{metric: acc}]\nmetadata: {lm_eval: same, primary: mcc, metrics: [{metric: mcc}]}"},
        "is under metadata",
    ),
    "ours": (
        {METRICS: "metric_list: [{metric: multiple_choice_grade}]\nmetadata: {lm_eval: same}"},
        "does not compute multiple_choice_grade",
    ),
    "option": (
        {METRICS: "metric_list: [{metric: f1, average: macro}]\nmetadata: {lm_eval: same}"},
        "does not read the option average of f1",
    ),
    "drawn": ({METRICS: METRICS + "\nnum_fewshot: 3\nmetadata: {lm_eval: same}"}, "3 shots are drawn"),
    "first": (
        {METRICS: METRICS + "\nnum_fewshot: 3\nfewshot_config: {sampler: first_n}\nmetadata: {lm_eval: same}"},
        "",
    ),
    "reader": ({METRICS: METRICS + "\nmetadata: {lm_eval: same, reader: references}"}, "made by the reader references"),
    "filter": (
        {
            "multiple_choice": "generate_until",
            METRICS: "filter_list: [{name: x, filter: [{function: written_choice}]}]\n"
            "metric_list: [{metric: exact_match}]",
        },
        "uses written_choice",
    ),
    "late": (
        {
            "multiple_choice": "generate_until",
            METRICS: "filter_list: [{name: x, filter: [{function: take_first}, {function: lowercase}]}]\n"
            "metric_list: [{metric: exact_match}]",
        },
        "lowercase comes after take_first",
    ),
    "subset": ({METRICS: METRICS + "\nmetadata: {lm_eval: subset, primary: mcc, metrics: [{metric: mcc}]}"}, ""),
    "none": (
        {METRICS: "metric_list: [{metric: em}]\nmetadata: {lm_eval: subset}"},
        "computes no metric of its metric_list",
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_validate_holds_a_file_to_its_word_about_lm_eval(name: str, tmp_path: Path) -> None:
    changes, said = SAME[name]
    text = GOOD
    for old, new in changes.items():
        text = text.replace(old, new)
    (tmp_path / "mine.yaml").write_text(text if "lm_eval" in text else text + "metadata: {lm_eval: same}\n")
    document = json.loads(run("validate", tmp_path / "mine.yaml", "--json").output)[0]
    assert document["standing"] == ("wrong" if said else "runs") and said in document["why"]


def test_validate_names_modules_of_evaluate_and_loads_none(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(GOOD.replace("{metric: acc}", "{metric: wer, hf_evaluate: true}"))
    done = run("validate", tmp_path / "mine.yaml")
    assert done.return_value == 0 and "runs: with wer of `evaluate`" in done.output


def test_validate_knows_groups_and_suites_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(GOOD)
    (tmp_path / "group.yaml").write_text("group: ours\ntask: [mine]\naggregate_metric_list: [{metric: acc}]\n")
    (tmp_path / "suite.yaml").write_text("suite: few\ntasks: [ours]\n")
    assert run("validate", tmp_path).return_value == 0
    (tmp_path / "suite.yaml").write_text("suite: few\ntasks: [theirs]\n")
    assert run("validate", tmp_path).return_value == 2


def test_the_shipped_files_are_valid() -> None:
    assert run("validate", Path(__file__).resolve().parents[2] / "tasks").return_value == 0


def test_validate_of_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    assert isinstance(run("validate", tmp_path).exception, TaskError)


LM_EVALS = Path(str(files("lm_eval"))) / "tasks"
FORMAT = Path(__file__).resolve().parents[2] / "docs" / "format.md"


@pytest.fixture(scope="module")
def lm_evals() -> Library:
    return Library([LM_EVALS])


def test_some_of_lm_evals_files_are_told_apart(lm_evals: Library) -> None:
    paths = sorted(LM_EVALS.rglob("*.yaml"))
    found = [file_status(lm_evals, path) for path in paths[:: len(paths) // 60]]
    assert len(found) >= 60 and all(why for status, why in found if status != "runs")
    counts = Counter(status for status, _ in found)
    assert counts["runs"] > 12 and counts["needs code"] > 30 and counts["wrong"] < 5


@pytest.mark.slow
def test_all_of_lm_evals_files_are_told_apart_as_the_docs_say(lm_evals: Library) -> None:
    counts = Counter(file_status(lm_evals, path)[0] for path in sorted(LM_EVALS.rglob("*.yaml")))
    page = FORMAT.read_text("utf-8")
    for status in FileStatus:
        assert f"| {status} | {counts[status]:,} |" in page
    assert f"{sum(counts.values()):,} files" in page
