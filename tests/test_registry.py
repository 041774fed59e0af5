"""A name to the piece behind it, or an error that lists what is known."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evalharness import engines, registry
from evalharness.engines.base import factory_of
from evalharness.errors import MissingPackageError, TaskError, UsageError
from evalharness.metrics.build import check_readable
from evalharness.records.models import EngineSettings
from evalharness.records.tasks import MetricSpec, OutputType
from evalharness.tasks.library import Library

OURS = {"join": "os.path:join"}
REGISTRY = {"join": "os.path:join", "joined": "os.path:joined"}


def test_a_known_name_is_imported() -> None:
    assert registry.find(REGISTRY, "join", "piece")("a", "b") == "a/b"


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"unknown piece 'jion'; did you mean join") as caught:
        registry.find(REGISTRY, "jion", "piece")
    assert caught.value.exit_code == 2


def test_nothing_near_lists_what_there_is() -> None:
    with pytest.raises(UsageError, match="known: hf"):
        registry.find(engines.REGISTRY, "zzzz", "engine")


def test_a_piece_whose_packages_an_extra_brings_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    said = r"^engine hf: needs the packages of the extra \[hf\] \(torch is not installed\); pip install"
    with pytest.raises(MissingPackageError, match=said):
        registry.find({"hf": "torch:nn"}, "hf", "engine")


def test_another_missing_module_is_a_crash() -> None:
    with pytest.raises(ModuleNotFoundError):
        registry.find({"x": "no_such_module:x"}, "x", "piece")


# ---- what other packages add


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Makes a package known that has these entry points, by group."""
    monkeypatch.syspath_prepend(tmp_path)

    def added(package: str, **groups: str) -> None:
        folder = tmp_path / f"{package}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = (f"[evalharness.{group}]\n{line}\n" for group, line in groups.items())
        (folder / "entry_points.txt").write_text("\n".join(lines))
        registry._added.cache_clear()

    yield added
    monkeypatch.undo()
    registry._added.cache_clear()


def test_another_packages_piece_is_found_and_suggested(install: Callable[..., None]) -> None:
    install("joins", readers="merged = os.path:join")
    assert registry.find(OURS, "merged", "reader")("a", "b") == "a/b"
    assert registry.names(OURS, "reader") == ["join", "merged"]
    assert registry.names(OURS, "metric") == ["join"]
    with pytest.raises(UsageError, match="unknown reader 'mergedd'; did you mean merged"):
        registry.find(OURS, "mergedd", "reader")


def test_a_name_that_two_have_is_refused_by_both_names(install: Callable[..., None]) -> None:
    install("evil", readers="join = os:getcwd\nother = os:getcwd")
    install("twin", readers="other = os:getpid")
    with pytest.raises(UsageError, match="reader join: is the name of a reader of evalharness and of evil; uninstall"):
        registry.find(OURS, "join", "reader")
    with pytest.raises(UsageError, match="is the name of a reader of evil and of twin"):
        registry.find(OURS, "other", "reader")
    assert registry.find(OURS, "join", "piece")("a", "b") == "a/b"  # nobody can add pieces


@pytest.mark.parametrize("place", ["nowhere_at_all:x", "os.path:nothing", "bisect:s.nothing"])
def test_a_piece_that_cannot_be_loaded_names_its_package(install: Callable[..., None], place: str) -> None:
    install("broken", readers=f"odd = {place}")
    with pytest.raises(
        UsageError, match=f"reader odd: {place} of broken cannot be loaded .*; mend or uninstall broken"
    ):
        registry.find(OURS, "odd", "reader")


def test_an_engine_needs_describe_and_open(install: Callable[..., None]) -> None:
    install("odd", engines="odd = os:getcwd")
    with pytest.raises(UsageError, match="has no methods `describe` and `open`"):
        factory_of(EngineSettings(name="odd"))


def test_a_metric_says_what_it_reads(install: Callable[..., None]) -> None:
    install("odd", metrics="odd = os:getcwd\nless = evalharness.metrics.choice:acc")
    for name in ("odd", "less"):
        with pytest.raises(TaskError, match=f"metric {name}: does not say in `reads`"):
            check_readable(MetricSpec(id=name, name=name), OutputType.MULTIPLE_CHOICE)


def test_folders_of_tasks_keep_our_names(install: Callable[..., None], tmp_path: Path) -> None:
    folder = tmp_path / "more_tasks"
    folder.mkdir()
    (folder / "rte.yaml").write_text("task: rte\n")
    (folder / "new.yaml").write_text("task: quite_new\n")
    install("more", tasks="more = more_tasks")
    library = Library()
    assert "quite_new" in library.names()
    with pytest.raises(TaskError, match=r"rte.*is also defined in .*more_tasks/rte\.yaml"):
        library.task("rte")
    assert Library([folder]).definition("rte") == {"task": "rte"}


def test_what_is_no_folder_of_tasks(install: Callable[..., None]) -> None:
    install("odd", tasks="odd = os:sep")
    install("file", tasks="file = bisect")
    with pytest.raises(UsageError, match="folder of tasks file: bisect of file is no folder"):
        Library()
