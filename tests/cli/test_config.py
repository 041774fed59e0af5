"""`evalharness config show`: what the repository's files say of the gate, and which file says it."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from command_line import exit_code

from evalharness.analysis.policy_file import find_policy, read_policy

PROJECT = """[tool.evalharness.gate]
suite = "forgetting"
margin = 0.03
margins = { rte = 0.05 }
"""
OWN = """[gate]
margin = 0.02
margins = { "a \\"b\\"" = 0.1 }
severities = { copa = "warn" }
limits = { empty = 0.05 }
require = ["mmlu", "rte"]
baseline = "kept/base.json"

[[gate.waivers]]
unit = "copa"
reason = "a \\\\ and a \\"quote\\" # no comment"
expires = 2099-12-31
"""


@pytest.mark.parametrize("origin", [(), ("--origin",)])
def test_what_is_shown_is_the_policy_as_a_file_takes_it(
    repository: Path, capsys: pytest.CaptureFixture[str], origin: tuple[str, ...]
) -> None:
    (repository / "pyproject.toml").write_text(PROJECT)
    (repository / "evalharness.toml").write_text(OWN)
    policy = find_policy()
    assert exit_code("config", "show", *origin) == 0
    output = capsys.readouterr().out
    assert tomllib.loads(output)["gate"]["margin"] == 0.02
    (repository / "again.toml").write_text(output)
    again = read_policy(repository / "again.toml")
    assert again.values == policy.values and (again.margins, again.baseline) == (policy.margins, policy.baseline)
    expected = 'suite = "forgetting"  # pyproject.toml' if origin else 'suite = "forgetting"'
    assert expected in output.splitlines()
    assert ('on_inconclusive = "fail"  # default' in output) == bool(origin) and "# ceiling: not set" in output


def test_it_says_who_states_each_value_for_other_programs(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (repository / "pyproject.toml").write_text(PROJECT)
    (repository / "evalharness.toml").write_text(OWN)
    assert exit_code("config", "show", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["files"] == ["evalharness.toml", "pyproject.toml"]
    assert document["gate"]["margin"] == {"value": 0.02, "origin": "evalharness.toml"}
    assert document["gate"]["margins"]["origin"] == 'rte: pyproject.toml; a "b": evalharness.toml'
    assert document["gate"]["alpha"] == {"value": None, "origin": "default"}
    assert exit_code("config", "show", "--policy", "none", "--json") == 0
    assert {each["origin"] for each in json.loads(capsys.readouterr().out)["gate"].values()} == {"default"}


def test_a_file_that_is_wrong_ends_with_2(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (repository / "evalharness.toml").write_text("[gate]\nmargn = 0.02\n")
    assert exit_code("config", "show") == 2
    assert "gate.margn: there is no such key; did you mean margin" in capsys.readouterr().err
