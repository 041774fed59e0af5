"""What `evalharness.toml` and `pyproject.toml` give to commands, and what stands over it; a wrong value ends with 2."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import click
import pytest
from command_line import exit_code

from evalharness.cli import defaults
from evalharness.cli.command import Command
from evalharness.cli.options import engine_options, example_options, task_options, with_options


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".git").mkdir()
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@click.command("run", cls=Command)
@with_options(*task_options, *example_options, *engine_options)
@click.option("--base", metavar="[NAME=]PATH")
@click.option("--data-dir", type=click.Path(path_type=Path))
@click.option("--apply-chat-template", is_flag=False, flag_value="all", type=click.Choice(["all", "candidates"]))
def stand_in(**given: object) -> dict[str, object]:
    """Return what the options of a command come out as."""
    return given


def given(*arguments: str) -> dict[str, object]:
    """What the stand-in for `evalharness run ARGUMENTS` is given."""
    parent = click.Context(click.Group("evalharness"), info_name="evalharness")
    with stand_in.make_context("run", list(arguments), parent=parent) as context:
        return dict(context.params)


def test_options_stand_over_the_command_s_table_over_defaults_over_what_click_has(repository: Path) -> None:
    (repository / "pyproject.toml").write_text('[tool.evalharness.run]\nlimit = 7\ndevice = "cuda"\n')
    (repository / "evalharness.toml").write_text(
        '[defaults]\nbatch-size = 4\nlimit = 3\ndtype = "bfloat16"\n[run]\ndevice = "cpu"\nstrict = true\n'
    )
    assert {key: given()[key] for key in ("limit", "device", "batch_size", "dtype", "strict", "batch_tokens")} == {
        "limit": 7,
        "device": "cpu",
        "batch_size": 4,
        "dtype": "bfloat16",
        "strict": True,
        "batch_tokens": 2048,
    }
    assert given("--limit", "9", "--dtype", "float32")["limit"] == 9


def test_an_option_takes_the_place_of_those_that_it_excludes(repository: Path) -> None:
    (repository / "evalharness.toml").write_text('[run]\nsuite = "forgetting"\ntask = ["rte", "cola"]\n')
    assert (given()["suite"], given()["tasks"]) == ("forgetting", ("rte", "cola"))
    assert (given("--task", "mmlu")["suite"], given("--task", "mmlu")["tasks"]) == (None, ("mmlu",))
    assert (given("--suite", "glue")["suite"], given("--suite", "glue")["tasks"]) == ("glue", ())


def test_paths_are_of_the_file_s_folder_and_names_of_the_hub_stay(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository / "rows").mkdir()
    (repository / "models").mkdir()
    (repository / "evalharness.toml").write_text('[run]\ndata_dir = "rows"\nbase = "old=models"\n')
    monkeypatch.chdir(repository / "inner")
    assert (given()["data_dir"], given()["base"]) == (Path("../rows"), "old=../models")
    (repository / "evalharness.toml").write_text('[run]\ndata_dir = "later"\nbase = "old=models#a"\n')
    assert (given()["data_dir"], given()["base"]) == (Path("../later"), "old=../models#a")
    (repository / "evalharness.toml").write_text('[run]\nbase = "org/model@main"\napply_chat_template = true\n')
    assert (given()["base"], given()["apply_chat_template"]) == ("org/model@main", "all")


WRONG = {
    "[run]\nlimt = 3": "evalharness.toml: run.limt: there is no such option; did you mean limit",
    "[run]\nlimit = 0": "run.limit: 0 is not in the range x>=1; the help of --limit says",
    '[run]\nlimit = "many"': "run.limit: 'many' is no value of it; a whole number would be right",
    "[run]\nlimit = true": "run.limit: True is no value of it; a whole number would be right",
    "[run]\nlimit = 1.5": "run.limit: 1.5 is no value of it",
    "[run]\nlimit = inf": "run.limit: inf is no value of it",
    "[run]\nstore = 1": "run.store: 1 is no value of it; a text would be right",
    '[run]\nout = ""': "run.out: is empty",
    "[run]\nmodel = []": "run.model: [] is no value of it; a text or a number or a list of them would be right",
    "[run]\nlimit = [1, 2]": "run.limit: [1, 2] is no value of it",
    "[run]\nstrict = 1": "run.strict: 1 is no value of it; true or false would be right",
    '[run]\ndtype = "float8"': "run.dtype: 'float8' is not one of",
    "[run]\nmargin = 0.05": "run.margin: is the gate's; state it under [gate]",
    "[defaults]\nalpha = 16": "defaults.alpha: is the gate's; state it under [gate]",
    "[run]\njson = true": "run.json: is for one call; give --json",
    "[defaults]\nbatch_sise = 3": "defaults.batch_sise: there is no such option; did you mean batch_size",
    "[rum]\nlimit = 3": "evalharness.toml: rum: there is no such table; did you mean run",
    "run = 3": "evalharness.toml: run: not a table; write [run]",
    "[run": "not TOML",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_value_ends_with_2_and_its_place(
    repository: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (repository / "evalharness.toml").write_text(text)
    for command in (("run", "--model", "nowhere", "--task", "rte"), ("config", "show")):
        assert exit_code(*command) == 2
        assert WRONG[text] in capsys.readouterr().err


def test_what_is_shown_for_each_command_is_what_a_file_takes(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository / "pyproject.toml").write_text('[tool.evalharness.defaults]\ndevice = "cpu"\n')
    (repository / "evalharness.toml").write_text('[run]\nsuite = "forgetting"\ntask = ["rte"]\n[gate]\nalpha = 0.01\n')
    assert exit_code("config", "show", "--origin") == 0
    output = capsys.readouterr().out
    assert 'suite = "forgetting"  # evalharness.toml' in output and 'device = "cpu"  # pyproject.toml' in output
    (repository / "evalharness.toml").write_text(output)
    assert exit_code("config", "show", "--json") == 0
    options = json.loads(capsys.readouterr().out)["options"]
    assert options["run"]["task"] == {"value": ["rte"], "origin": "evalharness.toml"}
    assert {name: table["device"]["value"] for name, table in options.items()} == dict.fromkeys(
        ("run", "train", "sweep", "repair", "plan", "trace", "bisect"), "cpu"
    )
    assert tomllib.loads(output)["gate"]["alpha"] == 0.01


def test_a_command_reads_them(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("plan") == 2 and "nothing to plan" in capsys.readouterr().err
    (repository / "evalharness.toml").write_text('[plan]\ntask = "copa"\nlimit = 12\n[gate]\nmargin = 0.2\n')
    assert exit_code("plan", "--json") in (0, 2)
    assert "nothing to plan" not in capsys.readouterr().err


def test_a_file_that_is_there_and_cannot_be_read_is_not_passed_over(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository / "evalharness.toml").symlink_to("nowhere.toml")
    assert exit_code("config", "show") == 2 and "evalharness.toml: cannot be read" in capsys.readouterr().err
    (repository / "evalharness.toml").unlink()
    (repository / "evalharness.toml").mkdir()
    assert exit_code("config", "show") == 2 and "evalharness.toml: cannot be read" in capsys.readouterr().err


def test_only_commands_that_a_table_names_have_one() -> None:
    assert defaults.defaults_of(stand_in, "tasks show") == {}


def test_alpha_of_a_training_is_lora_s(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (repository / "evalharness.toml").write_text("[train]\nalpha = 5\n[sweep]\nalpha = 6\n[gate]\nalpha = 0.01\n")
    assert exit_code("config", "show", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert [shown["options"][name]["alpha"]["value"] for name in ("train", "sweep")] == [5, 6]
    # alpha reaches the recipe, which says that this method has none
    assert exit_code("train", "--method", "full", "--base", "nowhere", "--task", "rte", "--out", "new") == 2
    assert "--alpha" in capsys.readouterr().err
    (repository / "evalharness.toml").write_text("[train]\nmargin = 0.05\n")
    assert exit_code("config", "show") == 2
    assert "train.margin: is the gate's" in capsys.readouterr().err
