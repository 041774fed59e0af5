"""Killed at every write, rename, removal and commit, and given again, a command leaves what it would have left."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from command_line import exit_code
from faults.killed_child import run_child
from soak.kill_and_resume import same

from evalharness.experiments import candidates, demo
from evalharness.run import collect
from evalharness.run.progress import SilentListener
from evalharness.training.output_lock import UnfinishedOutput, locked_output, refuse_existing
from evalharness.training.recipe import Recipe

Record = Callable[[str, object], None]
Whole = tuple[Callable[[Path], list[object]], Path]
FILES = ("results.json", "measurements.parquet", "report.html")


@pytest.fixture(scope="module")
def whole(zoo: dict[str, Path], small_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """A run's command by its place, and the place of one that nobody interrupted."""

    def command(place: Path) -> list[object]:
        models = ["--base", f"base={zoo['llama']}", "--model", f"tuned={zoo['llama-lora']}", "--engine", "scripted"]
        tasks = ["--task", "echo", "--task", "yes_no", "--include-path", small_world / "tasks", "--limit", "12"]
        places = ["--data-dir", small_world / "data", "--out", place / "out", "--store", place / "store.sqlite"]
        return ["run", *models, *tasks, *places, "--quiet"]

    place = tmp_path_factory.mktemp("kills") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collect, "BLOCK", 8)
        assert exit_code(*command(place)) == 0
        yield command, place


def stored(store: Path) -> set[tuple[str, str]]:
    """(model, request) of every answer that a commit has acknowledged, read in a copy."""
    with TemporaryDirectory() as folder:
        for file in store.parent.glob(f"{store.name}*"):
            shutil.copy(file, folder)
        db = sqlite3.connect(Path(folder) / store.name)
        with closing(db):
            if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'answers'").fetchone():
                return set()
            return set(db.execute("SELECT model, request FROM answers"))


def asked_nothing_twice(command: list[object], place: Path, kill_at: int | None) -> tuple[int | None, int]:
    """Give the command in a child; assert that nothing is asked that the store had. Returns exit code and events."""
    before = stored(place / "store.sqlite")
    ended = run_child(lambda: exit_code(*command), place, kill_at)
    assert not before & set(ended.requests), "acknowledged answers are asked for again"
    return ended.code, ended.events


def files_of(place: Path) -> list[str]:
    return sorted(str(path.relative_to(place)) for path in place.rglob("*") if not path.name.startswith("store"))


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in files_of(folder) if (folder / name).is_file()}


def finished_like(whole: Whole, place: Path) -> None:
    """The command, given again, ends, and what it leaves is what the uninterrupted one left."""
    command, before = whole
    assert asked_nothing_twice(command(place), place, None)[0] == 0
    assert files_of(place) == files_of(before)
    same(before, place)


@pytest.mark.fault(1)
@pytest.mark.fault(2)
def test_a_run_killed_at_writes_again_and_again(whole: Whole, tmp_path: Path, record_property: Record) -> None:
    """Every call goes on in the same folder, and is killed further on."""
    kills = 0
    while asked_nothing_twice(whole[0](tmp_path), tmp_path, 11 * kills)[0] is None:
        kills += 1
    assert kills > 4
    record_property("injected", kills)
    finished_like(whole, tmp_path)


@pytest.mark.slow
@pytest.mark.fault(1)
@pytest.mark.fault(2)
def test_a_run_killed_at_every_write(whole: Whole, tmp_path: Path, record_property: Record) -> None:
    _, events = asked_nothing_twice(whole[0](tmp_path / "counted"), tmp_path / "counted", None)
    for kill_at in range(events):
        place = tmp_path / str(kill_at)
        assert asked_nothing_twice(whole[0](place), place, kill_at)[0] is None
        asked_nothing_twice(whole[0](place), place, kill_at // 2)  # and once more, while it resumes
        finished_like(whole, place)
        shutil.rmtree(place)
    record_property("injected", 2 * events)


@pytest.mark.fault(2)
def test_compare_killed_at_every_write_leaves_each_file_old_or_new(
    whole: Whole, tmp_path: Path, record_property: Record
) -> None:
    """Over the very run that it compares: its measurements are nowhere else."""

    def command(out: Path) -> int:
        return exit_code("compare", out, "--out", out, "--margin", "0.4")

    old = whole[1] / "out"
    new = Path(shutil.copytree(old, tmp_path / "new"))
    events = run_child(lambda: command(new), tmp_path).events
    assert command(new) == 0
    for kill_at in range(events):
        out = Path(shutil.copytree(old, tmp_path / "out"))
        assert run_child(lambda out=out: command(out), tmp_path, kill_at).code is None
        for name in FILES[:2]:
            assert (out / name).read_bytes() in [(folder / name).read_bytes() for folder in (old, new)]
        assert command(out) == 0
        assert contents(out) == contents(new)
        shutil.rmtree(out)
    record_property("injected", events)


@pytest.mark.fault(2)
@pytest.mark.parametrize("stride", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_report_killed_at_writes_leaves_the_old_page_or_the_new(
    whole: Whole, tmp_path: Path, stride: int, record_property: Record
) -> None:
    out = Path(shutil.copytree(whole[1] / "out", tmp_path / "out"))
    page = (out / "report.html").read_bytes()
    events = run_child(lambda: exit_code("report", out), tmp_path).events
    for kill_at in range(2, events, stride):
        (out / "report.html").write_text("old")
        assert run_child(lambda: exit_code("report", out), tmp_path, kill_at).code is None
        assert (out / "report.html").read_bytes() in (b"old", page)
    assert exit_code("report", out) == 0
    assert contents(out) == contents(whole[1] / "out")
    record_property("injected", len(range(2, events, stride)))


@pytest.mark.fault(1)
@pytest.mark.parametrize("stride", [5, pytest.param(1, marks=pytest.mark.slow)])
def test_data_fetch_killed_at_writes(small_world: Path, tmp_path: Path, stride: int, record_property: Record) -> None:
    def command(to: Path) -> int:
        tasks = ("--task", "echo", "--task", "yes_no", "--include-path", small_world / "tasks")
        return exit_code("data", "fetch", *tasks, "--data-dir", small_world / "data", "--to", to)

    events = run_child(lambda: command(tmp_path / "whole"), tmp_path).events
    kills = range(1, events, stride)
    for kill_at in kills:
        to = tmp_path / str(kill_at)
        assert run_child(lambda to=to: command(to), tmp_path, kill_at).code is None
        assert command(to) == 0 and exit_code("data", "verify", to) == 0
        assert files_of(to) == files_of(tmp_path / "whole")
    record_property("injected", len(kills))


@pytest.mark.fault(1)
def test_a_candidate_that_is_replaced_is_replaced_after_a_kill_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Record
) -> None:
    """What is left of the older one is no obstacle to the command that goes on."""

    def train(recipe: Recipe, examples: object, report: object) -> Path:
        refuse_existing(Path(recipe.out))
        return Path(recipe.out)

    monkeypatch.setattr(candidates, "train", train)
    older = tmp_path / "older"
    (older / "tokenizer").mkdir(parents=True)
    (older / "training.json").write_text('{"recipe": {}, "base_fingerprint": "", "data": {"digest": ""}}')
    (older / "model.safetensors").write_text("weights")

    def make(out: Path) -> int:
        recipe = demo.plan().recipe("lora", demo.base(), out, 1)
        return 0 if candidates.make_candidate(recipe, demo.world(), SilentListener()) == out else 1

    events = run_child(lambda: make(Path(shutil.copytree(older, tmp_path / "counted"))), tmp_path).events
    kills = range(0, events, 2)
    for kill_at in kills:
        out = Path(shutil.copytree(older, tmp_path / str(kill_at)))
        run_child(lambda out=out: make(out), tmp_path, kill_at)
        assert make(out) == 0 and not list(tmp_path.glob(f"*{kill_at}*"))
    record_property("injected", len(kills))


@pytest.mark.fault(1)
def test_nothing_goes_on_from_half_of_another_trainings_states(tmp_path: Path, record_property: Record) -> None:
    """Killed while it removes them, in making room for its own or at its end."""

    def take_up(out: Path, record: dict[str, str]) -> tuple[bool, bool]:
        unfinished = UnfinishedOutput(out)
        return unfinished.take_up(record), (unfinished.states / "checkpoint-4" / "weights").exists()

    def end(out: Path) -> int:
        with locked_output(out):
            return 0

    def prepared(name: str) -> Path:
        out = tmp_path / name / "candidate"
        UnfinishedOutput(out).folder.mkdir(parents=True)
        take_up(out, {"rate": "old"})
        (state := UnfinishedOutput(out).states / "checkpoint-4").mkdir()
        for file in ("trainer_state.json", "weights"):
            (state / file).write_text("{}")
        assert take_up(out, {"rate": "old"}) == (True, True)
        return out

    injected = 0
    for number, action in enumerate((lambda out: take_up(out, {"rate": "new"})[0], end)):
        out = prepared(f"counted-{number}")
        events = run_child(lambda out=out, action=action: int(action(out)), tmp_path).events
        injected += events
        for kill_at in range(events):
            out = prepared(f"{number}-{kill_at}")
            run_child(lambda out=out, action=action: int(action(out)), tmp_path, kill_at)
            UnfinishedOutput(out).folder.mkdir(exist_ok=True)
            for rate in ("old", "new", "old"):
                goes_on, whole = take_up(out, {"rate": rate})
                assert whole == goes_on or not UnfinishedOutput(out).has_states
    record_property("injected", injected)
