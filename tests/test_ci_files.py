"""What a repository takes from here for its CI, run as far as that goes without the services: steps, commands, hook.

The action's steps are run by bash; the commands of the example are taken apart by bash and run in this process.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import exit_code
from compared_tables import compared
from junitparser import JUnitXml

from evalharness import __version__

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "lora-repository"
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
WORKFLOW = yaml.safe_load((EXAMPLE / ".github/workflows/forgetting.yml").read_text())
GITLAB = yaml.safe_load((EXAMPLE / ".gitlab-ci.yml").read_text())
(HOOK,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
STEPS = {step["name"]: step for step in WORKFLOW["jobs"]["gate"]["steps"] if "name" in step}
INSTALL, GATE = ACTION["runs"]["steps"]
OF_GITHUB = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
OFFLINE = {"PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_QUIET": "1"}  # 0: none


def bash(script: str, folder: Path, *ours: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a step as GitHub's `shell: bash` does. `ours`: where evalharness is installed; else this source."""
    path = [*(str(each / "bin") for each in ours), str(Path(sys.executable).parent), os.environ["PATH"]]
    environment = {**os.environ, "PATH": os.pathsep.join(path), "PYTHONPATH": str(ours[0] if ours else ROOT)}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    environment |= {"XDG_CACHE_HOME": str(folder / "cache"), "HF_HUB_OFFLINE": "1", **variables}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def words(script: str, folder: Path, **variables: str) -> list[str]:
    """What bash makes of the one command of a script: its words."""
    assert "\n" not in script.strip()
    return bash(f"printf '%s\\0' {script}", folder, **variables).stdout.split("\0")[:-1]


def environment_of(step: Mapping[str, Any], inputs: Mapping[str, str]) -> dict[str, str]:
    """A step's variables, with the action's inputs in them and its own folder."""
    defaults = {f"inputs.{name}": each.get("default", "") for name, each in ACTION["inputs"].items()}
    known = {**defaults, "github.action_path": str(ROOT), **{f"inputs.{name}": text for name, text in inputs.items()}}
    return {name: OF_GITHUB.sub(lambda match: known[match[1]], text) for name, text in step["env"].items()}


def judged(folder: Path, *ours: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    """The action's step that judges, in a job of GitHub Actions."""
    runner = {"GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": "output", "GITHUB_STEP_SUMMARY": "summary"}
    return bash(GATE["run"], folder, *ours, **environment_of(GATE, inputs), **runner)


def scripts() -> Iterator[str]:
    for step in (*ACTION["runs"]["steps"], *WORKFLOW["jobs"]["gate"]["steps"]):
        if "run" in step:
            yield step["run"]
    for name in ("before_script", "script"):
        yield from GITLAB["forgetting"][name]


def test_nothing_is_written_into_a_script_by_the_service() -> None:
    """It would be read as shell: a branch may be called `$(…)`. Variables are in quotes, where they are one word."""
    every = list(scripts())
    assert len(every) == 8 and not [script for script in every if "${{" in script]
    unquoted = [script for script in every if re.search(r"\$[A-Za-z_{]", re.sub(r'"[^"]*"|<<<.*', "", script))]
    assert not unquoted


def test_every_expression_of_the_action_is_an_input_that_there_is() -> None:
    text = (ROOT / "action.yml").read_text()
    named = {match[1] for match in OF_GITHUB.finditer(text)}
    assert named == {
        *(f"inputs.{name}" for name in ACTION["inputs"]),
        "github.action_path",
        "steps.gate.outputs.exit-code",
    }
    assert ACTION["runs"]["using"] == "composite" and all(step["shell"] == "bash" for step in (INSTALL, GATE))
    assert set(STEPS["Gate"]["with"]) <= set(ACTION["inputs"])


@pytest.mark.slow
def test_the_action_installs_itself_and_says_that_a_candidate_may_not_ship(tmp_path: Path) -> None:
    compared(tmp_path)
    (tmp_path / "own.toml").write_text("[gate]\nmargins = { task1 = 0.05 }\n")
    site = tmp_path / "site"
    done = bash(INSTALL["run"], tmp_path, **environment_of(INSTALL, {}), **OFFLINE, PIP_TARGET=str(site))
    assert done.returncode == 0, done.stderr
    done = judged(tmp_path, site, run="run", policy="own.toml", candidates="new\n", junit="gate.xml")
    assert done.returncode == 3, done.stderr
    assert (tmp_path / "output").read_text() == "exit-code=3\n"
    assert "margin 0.02 (default), task1=0.05 (own.toml)" in done.stdout
    assert "::error title=evalharness gate%3A new::new may not ship" in done.stdout
    assert sum(suite.failures for suite in JUnitXml.fromfile(str(tmp_path / "gate.xml"))) == 1  # task4
    comment = (tmp_path / "evalharness.md").read_text()
    assert comment.startswith("### evalharness: gate failed: forgotten")
    assert comment == (tmp_path / "summary").read_text()


def test_inputs_are_never_read_as_shell(tmp_path: Path) -> None:
    places = {"run": "$(touch pwned)/", "junit": "`touch pwned`", "markdown": "'; touch pwned #"}
    done = judged(tmp_path, **places, policy='"; touch pwned; "', candidates="none\n$(touch pwned)\n--help\n")
    assert done.returncode == 2 and "Error: " in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"output"}
    assert (tmp_path / "output").read_text() == "exit-code=2\n"


@pytest.fixture
def repository(tmp_path: Path, small_world: Path) -> Path:
    """The example as a repository, with the small world's tasks and rows in place of its own."""
    folder = tmp_path / "repository"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("tasks"))
    shutil.copytree(small_world / "tasks", folder / "tasks")
    shutil.copytree(small_world / "data", folder / "data")
    (folder / "tasks/release.yaml").write_text("suite: release\ntasks: [yes_no, echo]\n")
    policy = folder / "evalharness.toml"
    policy.write_text(policy.read_text().replace('["mmlu", "rte"]', '["echo"]'))
    return folder


def test_the_example_gates_an_adapter(
    repository: Path, zoo: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(repository)
    monkeypatch.setenv("XDG_CACHE_HOME", str(repository / ".cache"))
    models = {"ADAPTER": str(zoo["llama-lora"]), "BASE": str(zoo["llama"]), "TARGET": "yes_no"}
    assert models.keys() == WORKFLOW["env"].keys() == GITLAB["forgetting"]["variables"].keys() - {"XDG_CACHE_HOME"}
    program, *arguments = words(STEPS["Evaluate"]["run"], repository, **models)
    assert program == "evalharness" and exit_code(*arguments) == 0
    assert arguments[arguments.index("--out") + 1] == STEPS["Gate"]["with"]["run"]
    (script,) = GITLAB["forgetting"]["script"]
    capsys.readouterr()
    code = exit_code(*words(script, repository, **models)[1:])
    assert code == 4 and code in GITLAB["forgetting"]["allow_failure"]["exit_codes"]  # 30 examples decide nothing
    assert "suite release (evalharness.toml), requires echo (evalharness.toml)" in capsys.readouterr().out
    kept = [*GITLAB["forgetting"]["artifacts"]["paths"], GITLAB["forgetting"]["artifacts"]["reports"]["junit"]]
    assert all((repository / name).exists() for name in kept)
    assert (repository / GITLAB["forgetting"]["cache"]["paths"][0]).is_dir()


def test_the_examples_own_tests_judge_a_run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(EXAMPLE / "tests", pytester.path / "tests")
    (pytester.path / "runs").mkdir()
    compared(pytester.path, {"mmlu": 60, "rte": 0}).rename(pytester.path / "runs/gate")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p evalharness.pytest_plugin")
    python, of, program, *arguments = words(STEPS["Tests"]["run"], pytester.path)
    assert (python, of, program) == ("python", "-m", "pytest")
    outcome = pytester.runpytest_inprocess(*arguments)
    outcome.assert_outcomes(failed=2)
    outcome.stdout.fnmatch_lines(["E*AssertionError: forgotten: new on mmlu: score −0.060*"])


def test_the_hook_validates_task_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program, *words = shlex.split(HOOK["entry"])
    (hook,) = yaml.safe_load((EXAMPLE / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert (program, HOOK["language"], hook["id"]) == ("evalharness", "python", HOOK["id"])
    shutil.copytree(EXAMPLE, tmp_path, dirs_exist_ok=True)
    every = [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*")) if path.is_file()]
    files = [name for name in every if re.search(HOOK["files"], name)]
    assert files == ["tasks/release.yaml", "tasks/ticket_topic.yaml"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        assert exit_code(*words, *hook["args"], *files) == 0
        (tmp_path / files[1]).write_text((EXAMPLE / files[1]).read_text().replace("metric: acc", "metric: ack"))
        assert exit_code(*words, *hook["args"], *files) == 2
        assert "tasks/ticket_topic.yaml: wrong: " in capsys.readouterr().out


def test_the_examples_policy_and_tasks_are_right() -> None:
    assert exit_code("tasks", "validate", "--include-path", EXAMPLE / "tasks", EXAMPLE / "tasks") == 0


def test_the_citation_names_this_version() -> None:
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == __version__
