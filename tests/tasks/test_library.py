"""Folders of files to names, tags, groups and suites."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from lm_eval.tasks import TaskManager

from evalharness.errors import TaskError
from evalharness.records.tasks import Group
from evalharness.tasks.library import Library
from evalharness.tasks.loading import NeedsCode, NotSupported

Write = Callable[..., Path]


BY_SIZE, BY_TASK = "{metric: acc, weight_by_size: true}", "{metric: f1, weight_by_size: false}"


@pytest.fixture
def folder(tmp_path: Path, write: Write) -> Path:
    for name, tags in (("red", ["warm"]), ("orange", "warm"), ("blue", ["cold", "dark"])):
        more = {"metric_list": [{"metric": "acc"}, {"metric": "f1"}]} if name == "blue" else {}
        write(f"{name}.yaml", task=name, tag=tags, metadata={"family": "demo"}, **more)
    (tmp_path / "inherits.yaml").write_text("include: red.yaml\ntask: pink\n")
    (tmp_path / "quoted.yaml").write_text('include: red.yaml\n"task": "name with spaces" # a comment\n')
    (tmp_path / "_template_yaml").write_text("task: not_seen\n")
    (tmp_path / "broken.yaml").write_text("task: broken\n  x: [\n")
    (tmp_path / "group.yaml").write_text(
        "group: warm_ones\ntask: [red, orange]\naggregate_metric_list: [{metric: acc}]\n"
        "metadata: {unit: true, margin: 0.05}\n"
    )
    (tmp_path / "all.yaml").write_text(
        "group: colours\ntask:\n  - warm_ones\n  - cold\n  - group: inner\n    task: [pink, red]\n"
    )
    (tmp_path / "suite.yaml").write_text("suite: few\ntasks: [warm_ones, blue]\nlimit: 7\nmargins: {blue: 0.1}\n")
    return tmp_path


def test_names_are_found_without_reading_what_is_not_asked_for(folder: Path) -> None:
    library = Library([folder])
    assert {"red", "orange", "blue", "pink", "name with spaces", "broken"} <= set(library.names())
    assert "not_seen" not in library.names()
    assert library.task("pink").doc_to_text == "{{q}}" and library.task("pink").family == "demo"
    with pytest.raises(TaskError, match=r"broken\.yaml:2"):
        library.task("broken")


def test_words_stand_for_tasks_globs_tags_groups_and_files(folder: Path) -> None:
    library = Library([folder])

    def names(*patterns: str) -> list[str]:
        return [task.name for task in library.select(patterns)]

    assert names("red") == ["red"]
    assert names("r?d", "or*") == ["red", "orange"]
    assert names("warm") == ["name with spaces", "orange", "pink", "red"]
    assert names("warm_ones", "red", "blue") == ["red", "orange", "blue"]
    assert names("colours") == ["red", "orange", "blue", "pink"]
    assert names(str(folder / "blue.yaml"), str(folder / "group.yaml")) == ["blue", "red", "orange"]


def test_a_glob_passes_over_variants_unless_it_matches_nothing_else(folder: Path, write: Write) -> None:
    write("dark_red.yaml", task="red_dark", metadata={"variant_of": "red"})
    library = Library([folder])
    assert [task.name for task in library.select(["red*"])] == ["red"]
    assert [task.name for task in library.select(["red_*"])] == ["red_dark"]


def test_a_file_outside_the_folders_is_known_once_it_was_named(write: Write) -> None:
    path = write("elsewhere/mine.yaml")
    library = Library()
    assert library.select([str(path)])[0].name == "mine"
    assert library.task("mine").source == path


def test_later_folders_win_and_twins_in_one_folder_are_refused(tmp_path: Path, write: Write) -> None:
    write("one/a.yaml", doc_to_text="first")
    write("two/a.yaml", doc_to_text="second")
    assert Library([tmp_path / "one", tmp_path / "two"]).task("mine").doc_to_text == "second"
    write("two/b.yaml", doc_to_text="third")
    with pytest.raises(TaskError, match=r"a\.yaml: task 'mine' is also defined in .*b\.yaml"):
        Library([tmp_path / "two"]).task("mine")


def test_unknown_words_get_a_suggestion(folder: Path) -> None:
    library = Library([folder])
    with pytest.raises(TaskError, match="'orangee'; did you mean orange"):
        library.select(["orangee"])
    with pytest.raises(TaskError, match="did you mean warm_ones"):
        library.group("warm_one")
    with pytest.raises(TaskError, match="few is a suite, not a task; use --suite few"):
        library.select(["few"])
    with pytest.raises(TaskError, match=r"no suite has this name \(it is a task\)"):
        library.suite("red")
    with pytest.raises(TaskError, match=r"'zzz\*'"):
        library.select(["zzz*"])
    with pytest.raises(TaskError, match="does not exist"):
        Library([folder / "gone"])


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


def test_suites_resolve_their_groups(folder: Path) -> None:
    suite = Library([folder]).suite("few")
    assert suite.tasks == ("red", "orange", "blue")
    assert [group.name for group in suite.groups] == ["warm_ones"]
    assert (suite.limit, suite.margin, suite.margins, suite.data, suite.split) == (7, 0.02, {"blue": 0.1}, None, None)


def test_a_number_for_a_group_is_that_of_each_of_its_tasks_but_of_those_with_their_own(folder: Path) -> None:
    (folder / "s.yaml").write_text(
        "suite: s\ntasks: [warm_ones, blue]\nlimits: {warm_ones: 3, orange: 5}\nfewshots: {warm_ones: 0}\n"
    )
    suite = Library([folder]).suite("s")
    assert (suite.limits, suite.fewshots) == ({"red": 3, "orange": 5}, {"red": 0, "orange": 0})


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


def test_suites_have_names_of_their_own(folder: Path) -> None:
    (folder / "warm.yaml").write_text("suite: warm\ntasks: [blue]\n")
    (folder / "colours_suite.yaml").write_text("suite: colours\ntasks: [colours, warm]\n")
    library = Library([folder])
    assert [task.name for task in library.select(["warm"])] == ["name with spaces", "orange", "pink", "red"]
    assert library.suite("warm").tasks == ("blue",)
    assert library.is_group("colours") and "colours" in library.suites()
    assert set(library.suite("colours").tasks) == {"red", "orange", "blue", "pink", "name with spaces"}
    assert library.add(folder / "colours_suite.yaml") == ("suite", "colours") and library.is_group("colours")


def test_an_average_names_tasks_and_metrics_that_are_there(folder: Path) -> None:
    path = folder / "s.yaml"
    path.write_text("suite: s\ntasks: [red, orange]\naverage: {name: both, over: {red+orange: [acc]}}\n")
    average = Library([folder]).suite("s").average
    assert average is not None and average.over == {"red+orange": ("acc",)}
    for over, said in (
        ("red+blue: [acc]", "names 'blue', which the suite does not"),
        ("red: [ac]", "names the metric 'ac', which red does not compute"),
    ):
        path.write_text(f"suite: s\ntasks: [red, orange]\naverage: {{name: both, over: {{{over}}}}}\n")
        with pytest.raises(
            TaskError, match=rf"s\.yaml: average\.over\.{over.partition(':')[0]} {said}".replace("+", r"\+")
        ):
            Library([folder]).suite("s")


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


def test_a_file_with_a_class_is_a_task_of_python_whatever_else_it_says(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("group: scrolls\ntask: reports\nclass: !function task.Reports\n")
    library = Library([tmp_path])
    assert "reports" in library.names() and "scrolls" not in library.groups()
    assert library.add(path) == ("task", "reports")
    with pytest.raises(NeedsCode, match=r"class is Python code \(task\.Reports\)"):
        library.task("reports")
