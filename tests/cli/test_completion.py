"""The shell completes names of suites and tasks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import BashComplete, ZshComplete

from evalharness.cli.main import evalharness

INSTRUCTION = "_EVALHARNESS_COMPLETE"
PROGRAM = """
import sys
from evalharness.cli.main import main
try:
    main()
finally:
    print("torch" in sys.modules)
"""


@pytest.mark.parametrize("shell", [BashComplete, ZshComplete])
@pytest.mark.parametrize(
    ("words", "incomplete", "among", "not_among"),
    [
        (["run", "--suite"], "forg", {"forgetting", "forgetting-full"}, {"demo"}),
        (["run", "--task"], "mm", {"mmlu", "mmlu_anatomy"}, {"demo", "rte"}),
        (["plan", "--suite", "demo", "--task"], "rt", {"rte"}, {"mmlu"}),
        (["sweep", "--suite"], "", {"demo"}, {"rte"}),
        (["train", "--task"], "copa", {"copa"}, {"rte"}),
        (["tasks", "show"], "demo", {"demo"}, {"rte"}),
        (["run", "--suite"], "nothing-begins-so", set(), {"demo"}),
        (["no-command", "--suite"], "forg", set(), {"forgetting"}),
        ([], "ba", {"baseline"}, {"run"}),
    ],
)
def test_names_are_completed(shell, words: list[str], incomplete: str, among: set[str], not_among: set[str]) -> None:
    complete = shell(evalharness, {}, "evalharness", INSTRUCTION)
    values = [each.value for each in complete.get_completions(words, incomplete)]
    assert among <= {*values} and not not_among & {*values} and len(values) == len({*values})


def test_the_users_own_tasks_are_completed_and_a_folder_that_is_missing_is_no_error(
    small_world: Path, tmp_path: Path
) -> None:
    complete = BashComplete(evalharness, {}, "evalharness", INSTRUCTION)
    for folder, names in ((small_world / "tasks", ["yes_no"]), (tmp_path / "missing", [])):
        words = ["run", "--include-path", str(folder), "--task"]
        assert [each.value for each in complete.get_completions(words, "yes_n")] == names


@pytest.mark.slow
def test_the_program_answers_a_shell_without_torch() -> None:
    request = {INSTRUCTION: "bash_complete", "COMP_WORDS": "evalharness run --suite dem", "COMP_CWORD": "3"}
    command, environ = [sys.executable, "-c", PROGRAM], {**os.environ, **request}
    process = subprocess.run(command, capture_output=True, text=True, env=environ)
    assert process.stdout.split() == ["plain,demo", "False"], process.stderr
