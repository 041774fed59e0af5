"""Folders of files to names, tags, groups and suites."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from evalharness.errors import TaskError
from evalharness.tasks.library import Library
from evalharness.tasks.loading import NeedsCode

Write = Callable[..., Path]


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


def test_suites_resolve_their_groups(folder: Path) -> None:
    suite = Library([folder]).suite("few")
    assert suite.tasks == ("red", "orange", "blue")
    assert [group.name for group in suite.groups] == ["warm_ones"]
    assert (suite.limit, suite.margins, suite.data, suite.split) == (7, {"blue": 0.1}, None, None)


def test_a_number_for_a_group_is_that_of_each_of_its_tasks_but_of_those_with_their_own(folder: Path) -> None:
    (folder / "s.yaml").write_text(
        "suite: s\ntasks: [warm_ones, blue]\nlimits: {warm_ones: 3, orange: 5}\nfewshots: {warm_ones: 0}\n"
    )
    suite = Library([folder]).suite("s")
    assert (suite.limits, suite.fewshots) == ({"red": 3, "orange": 5}, {"red": 0, "orange": 0})


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


def test_a_file_with_a_class_is_a_task_of_python_whatever_else_it_says(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("group: scrolls\ntask: reports\nclass: !function task.Reports\n")
    library = Library([tmp_path])
    assert "reports" in library.names() and "scrolls" not in library.groups()
    assert library.add(path) == ("task", "reports")
    with pytest.raises(NeedsCode, match=r"class is Python code \(task\.Reports\)"):
        library.task("reports")
