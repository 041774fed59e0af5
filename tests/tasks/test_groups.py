"""Groups and suites: their members, what a group changes in its tasks, and what is wrong in their files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from lm_eval.tasks import TaskManager

from evalharness.errors import TaskError
from evalharness.records.tasks import Group, HumanLevel
from evalharness.tasks.library import Library
from evalharness.tasks.loading import NeedsCode, NotSupported

Write = Callable[..., Path]


BY_SIZE, BY_TASK = "{metric: acc, weight_by_size: true}", "{metric: f1, weight_by_size: false}"


def test_groups_hold_leaf_tasks(folder: Path) -> None:
    group = Library([folder]).group("warm_ones")
    assert (group.tasks, group.metric, group.unit, group.margin, group.family) == (
        ("red", "orange"),
        "acc",
        True,
        0.05,
        "demo",
    )
    assert not Library([folder]).group("colours").unit


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("suite: s\ntasks: [red]\nlimit_: 3\n", "unknown key 'limit_'; did you mean limit"),
        ("suite: s\ntasks: []\n", "lists no tasks"),
        ("suite: s\ntasks: [redd]\n", r"s\.yaml: no task, group or tag is called 'redd'; did you mean red"),
        ("suite: s\ntasks: [red]\nmargins: {blue: 0.1}\n", "margins names 'blue', which the suite does not evaluate"),
        ("suite: s\ntasks: [red]\nmargins: {red: -1}\n", "the margin of red is -1"),
        ("suite: s\ntasks: [red]\nlimit: 0\n", "limit is a number"),
        ("suite: s\ntasks: [few]\n", "few is a suite"),
    ],
)
def test_wrong_suites_are_named(folder: Path, text: str, message: str) -> None:
    (folder / "s.yaml").write_text(text)
    with pytest.raises(TaskError, match=message):
        Library([folder]).suite("s")


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("group: g\ntask: []\n", TaskError, "task is a list"),
        ("group: g\ntask: [g]\n", TaskError, "contains itself"),
        ("group: g\ntask: [redd]\n", TaskError, "did you mean red"),
        (
            "group: g\ntask: [red, blue]\naggregate_metric_list: [{metric: f1}]\n",
            TaskError,
            "its metric 'f1' is not computed by red",
        ),
        ("group: g\ntask: [{task: redd, num_fewshot: 3}]\n", TaskError, "did you mean red"),
        ("group: g\ntask: [{num_fewshot: 3}]\n", TaskError, "a mapping without a name"),
        ("group: g\ntask: [[red]]\n", TaskError, "lists a list"),
        (
            "group: g\ntask: [{task: red, num_fewshot: 1}, {task: red, num_fewshot: 2}]\n",
            TaskError,
            "'g::red' stands for two different things",
        ),
        ("group: g\ntask: [{task: red, num_few: 1}]\n", TaskError, "unknown key 'num_few'; did you mean num_fewshot"),
        ("group: g\ntask: [{task: red, process_docs: !function u.f}]\n", NeedsCode, "process_docs is Python code"),
        ("group: g\ntask: [red]\naggregate_metric_list: [{metric: acc, aggregation: median}]\n", NotSupported, "mean"),
        (
            "group: g\ntask: [red]\naggregate_metric_list: [{metric: acc, aggregation: !function u.f}]\n",
            NeedsCode,
            "aggregation",
        ),
        (
            f"group: g\ntask: [red]\naggregate_metric_list: [{BY_SIZE}, {BY_TASK}]\n",
            NotSupported,
            "weight_by_size differs",
        ),
    ],
)
def test_wrong_groups_are_named(folder: Path, text: str, error: type[TaskError], message: str) -> None:
    (folder / "g.yaml").write_text(text)
    with pytest.raises(error, match=message):
        Library([folder]).group("g")


ROWS = [{"q": f"question {i}", "label": i % 2} for i in range(6)]
GROUPS = {
    "changed": "group: changed\ntask: [{task: red, num_fewshot: 3, description: more}, blue]\n",
    "pushed": "group: pushed\ntask: [red, {task: blue, num_fewshot: 1}]\nnum_fewshot: 4\nfewshot_delimiter: ';'\n",
    "nested": "group: nested\ntask: [{group: pushed, num_fewshot: 2}, "
    "{group: inner, description: low, task: [orange]}]\ndescription: high\n",
    "around": "group: around\ntask: [pushed]\nnum_fewshot: 5\nmetadata: {version: 9}\n",
    "tagged": "group: tagged\ntask: [warm]\ngen_prefix: So\n",
    "aliased": "group: aliased\ntask: [{task: red, task_alias: rouge}]\n",
}
COMPARED = ("num_fewshot", "description", "fewshot_delimiter", "gen_prefix", "doc_to_text")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", GROUPS)
def test_groups_change_their_tasks_as_lm_evals_do(
    name: str, tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "rows.json").write_text("\n".join(map(json.dumps, ROWS)))
    local = {
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(tmp_path / "rows.json")}},
        "training_split": None,
    }
    for colour, tag in (("red", "warm"), ("orange", "warm"), ("blue", "cold")):
        write(f"tasks/{colour}.yaml", task=colour, tag=tag, doc_to_text=f"{{{{q}}}} {colour}", **local)
    for group, text in GROUPS.items():
        (tmp_path / "tasks" / f"{group}.yaml").write_text(text)
    theirs = TaskManager(include_path=str(tmp_path / "tasks"), include_defaults=False).load([name])["tasks"]
    ours = Library([tmp_path / "tasks"]).select([name])
    assert {task.name.rpartition("::")[2] for task in ours} == set(theirs) and len(ours) == len(theirs)
    for task in ours:
        config = theirs[task.name.rpartition("::")[2]].config
        assert [getattr(task, key) or None for key in COMPARED] == [getattr(config, key) or None for key in COMPARED]


def test_what_a_group_changes_or_writes_out_has_a_name_of_its_own(folder: Path) -> None:
    (folder / "_rows_yaml").write_text(
        "dataset_path: rows\ntest_split: test\ndoc_to_text: '{{q}}'\ndoc_to_target: label\n"
    )
    (folder / "g.yaml").write_text(
        "group: g\ntask:\n  - red\n  - {task: blue, num_fewshot: 2}\n"
        "  - {task: new, include: _rows_yaml, task_alias: mine}\n"
        "  - group: deep\n    num_fewshot: 1\n    aggregate_metric_list: {metric: acc}\n    task: [red, orange]\n"
    )
    (folder / "s.yaml").write_text("suite: s\ntasks: [g]\n")
    names = ["red", "g::blue", "g::new", "g::deep::red", "g::deep::orange"]
    assert [task.name for task in Library([folder]).select(["g"])] == names
    library = Library([folder])
    assert library.select(["g::deep::red"])[0].num_fewshot == 1 and library.task("g::blue").num_fewshot == 2
    assert library.task("red").num_fewshot == 0 and library.task("g::new").output_type == "generate_until"
    assert "g::blue" not in library.names() and "g::deep" not in library.groups()
    suite = Library([folder]).suite("s")
    assert list(suite.tasks) == names and [group.name for group in suite.groups] == ["g::deep"]
    with pytest.raises(TaskError, match="'g::green'"):
        Library([folder]).select(["g::green"])
    (folder / "g.yaml").write_text("group: g\ntask: ['g::red']\n")
    with pytest.raises(TaskError, match="'g::red'"):
        Library([folder]).group("g")


def test_metrics_of_a_group_are_those_it_names_through_every_filter(folder: Path, write: Write) -> None:
    pipes = [{"name": name, "filter": [{"function": "take_first"}]} for name in ("strict", "loose")]
    for name in ("a", "b"):
        written = {
            "output_type": "generate_until",
            "doc_to_choice": None,
            "metric_list": [{"metric": "exact_match"}, {"metric": "bleu"}],
        }
        write(f"{name}.yaml", task=name, **written, filter_list=pipes)

    def group(entries: str) -> Group:
        (folder / "g.yaml").write_text(f"group: g\ntask: [a, b]\naggregate_metric_list: {entries}\n")
        return Library([folder]).group("g")

    found = group("[{metric: exact_match}, {metric: bleu, filter_list: loose}, {metric: acc}]")
    assert (found.metric, found.also, found.macro) == ("exact_match,strict", ("exact_match,loose", "bleu,loose"), False)
    found = group("{metric: exact_match, filter_list: [loose], weight_by_size: false}")
    assert (found.metric, found.also, found.macro) == ("exact_match,loose", (), True)
    assert group("[{metric: acc}]").metric == "exact_match,strict"


def test_what_people_score_in_a_group_and_on_average(folder: Path) -> None:
    (folder / "g.yaml").write_text(
        "group: g\ntask: [red, orange]\naggregate_metric_list: [{metric: acc}]\n"
        "metadata: {human: {value: 0.9, source: us}}\n"
    )
    average = "{name: a, over: {red: [acc]}, human: {value: 0.8, source: us}}"
    (folder / "s.yaml").write_text(f"suite: s\ntasks: [red]\naverage: {average}\n")
    library = Library([folder])
    assert library.group("g").human == HumanLevel(metric="acc", value=0.9, source="us")
    found = library.suite("s").average
    assert found is not None and found.human == HumanLevel(metric="a", value=0.8, source="us")
    (folder / "s.yaml").write_text(f"suite: s\ntasks: [red]\naverage: {average.replace('value: 0.8, ', '')}\n")
    with pytest.raises(TaskError, match=r"average\.human\.value is nothing"):
        Library([folder]).suite("s")
