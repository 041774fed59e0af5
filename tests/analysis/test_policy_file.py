"""Where a policy is looked for, which file's value stands, and that whatever is wrong in it ends with 2."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from evalharness.analysis.policy_file import find_policy, read_policy
from evalharness.errors import UsageError
from evalharness.records.policy import OPTION, OnInconclusive, Policy, Severity, Waiver

WHOLE = """
[gate]
suite = "forgetting"
require = ["mmlu"]
alpha = 0.01
margin = 0.03
margins = { rte = 0.05, glue = 0.04 }
on_inconclusive = "pass"
ceiling = 0.1
ceilings = { cola = 0.2 }
severity = "warn"
severities = { copa = "off", mmlu = "error" }
limits = { truncated = 0.01, cut_off = 0.02, unparsed = 0.03, empty = 0.04, failed = 0 }
[[gate.waivers]]
unit = "wic"
reason = "replaced next month"
expires = 2030-01-31
candidate = "lora"
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".git").mkdir()
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_value_is_read(repository: Path) -> None:
    (repository / "evalharness.toml").write_text(WHOLE)
    waiver = Waiver(unit="wic", reason="replaced next month", expires=date(2030, 1, 31), candidate="lora")
    policy = find_policy()
    assert policy == Policy(
        suite="forgetting",
        require=("mmlu",),
        alpha=0.01,
        margin=0.03,
        margins={"rte": 0.05, "glue": 0.04},
        on_inconclusive=OnInconclusive.PASS,
        ceiling=0.1,
        ceilings={"cola": 0.2},
        severity=Severity.WARN,
        severities={"copa": Severity.OFF, "mmlu": Severity.ERROR},
        limits={"truncated": 0.01, "cut_off": 0.02, "unparsed": 0.03, "empty": 0.04, "failed": 0},
        waivers=(waiver,),
    )
    assert {policy.source(key) for key in ("alpha", "margins.rte", "limits.empty", "waivers")} == {"evalharness.toml"}
    signature = {"policy": policy.facts({"alpha": 0.01, "margin": 0.03, "margins": {"rte": 0.05, "glue": 0.04}})}
    again = Policy.recorded(signature)
    assert again.values == policy.values


def test_the_nearest_folder_up_to_the_root_of_the_repository_states_it(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = repository / "a" / "b"
    monkeypatch.chdir(inner)
    assert find_policy() == Policy()
    (repository / "pyproject.toml").write_text("[tool.evalharness.gate]\nmargin = 0.03\n")
    assert find_policy().margin == 0.03 and find_policy().source("margin") == "../../pyproject.toml"
    (repository / "a" / "pyproject.toml").write_text("[tool.other]\nx = 1\n")  # states none, and hides none
    assert find_policy().margin == 0.03
    (repository / "a" / "evalharness.toml").write_text("[gate]\nalpha = 0.01\n")
    assert (find_policy().margin, find_policy().alpha) == (None, 0.01)
    (repository / "a" / ".git").write_text("gitdir: elsewhere\n")  # of a worktree
    (repository / "a" / "evalharness.toml").unlink()
    assert find_policy() == Policy()


def test_outside_a_repository_only_the_folder_itself_is_looked_at(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "evalharness.toml").write_text("[gate]\nalpha = 0.01\n")
    assert find_policy(inner) == Policy() and find_policy(tmp_path).alpha == 0.01


def test_options_stand_over_evalharness_toml_over_pyproject_toml_value_by_value(repository: Path) -> None:
    (repository / "pyproject.toml").write_text(
        "[tool.evalharness.gate]\nmargin = 0.03\nalpha = 0.01\nceilings = { rte = 0.1, cola = 0.2 }\n"
    )
    (repository / "evalharness.toml").write_text("[gate]\nalpha = 0.02\nceilings = { cola = 0.3 }\n")
    policy = find_policy().with_values({"ceilings": {"rte": 0.4}, "ceiling": None}, OPTION)
    assert (policy.margin, policy.alpha, policy.ceilings) == (0.03, 0.02, {"rte": 0.4, "cola": 0.3})
    keys = ("margin", "alpha", "ceilings.rte", "ceilings.cola", "ceiling")
    assert [policy.source(key) for key in keys] == [
        "pyproject.toml",
        "evalharness.toml",
        "option",
        "evalharness.toml",
        "default",
    ]


def test_a_file_that_is_named_must_state_a_policy(repository: Path) -> None:
    (repository / "strict.toml").write_text("[gate]\nalpha = 0.01\n")
    assert read_policy(Path("strict.toml")).alpha == 0.01
    for text in ("", "[tool.evalharness.gate]\nalpha = 0.01\n"):
        (repository / "pyproject.toml").write_text(text)
        if text:
            assert read_policy(Path("pyproject.toml")).alpha == 0.01
        else:
            with pytest.raises(UsageError, match=r"states no policy: there is no \[tool\.evalharness\.gate\]"):
                read_policy(Path("pyproject.toml"))
    with pytest.raises(UsageError, match="cannot be read"):
        read_policy(Path("nowhere.toml"))


WAIVER = "waivers = [{{ unit = 'a', {} }}]"
WRONG = {
    "suite = ''": "suite: is empty",
    "require = ['mmlu', '']": "require: is empty",
    "baseline = ''": "baseline: is empty",
    "waivers = [{ unit = '', reason = 'x', expires = 2030-01-31 }]": "a waiver: names nothing",
    "waivers = [{ unit = 'a', reason = 'x', expires = 2030-01-31, candidate = '' }]": "a waiver: names nothing",
    "margin = 'x'": "gate.margin: not a number (a text); margin = 0.02 would be right",
    "margin = true": "not a number (true or false)",
    "margin = 0": "margin: 0 of all is no acceptable loss; a number above 0",
    "margin = nan": "nan of all is no acceptable loss",
    "margins = 3": "gate.margins: not an object",
    "margins = { rte = '3' }": "gate.margins['rte']: not a number (a text)",
    "margins = { rte = -1 }": "margins.rte: -1 of rte is no acceptable loss",
    "ceilings = { rte = inf }": "ceilings.rte: inf of rte is no loss",
    "celing = 0.1": "gate.celing: there is no such key; did you mean ceiling",
    "sources = {}": "gate.sources: there is no such key",
    "alpha = 0.5": "alpha: 0.5 is no error rate",
    "severity = 'fatal'": "'fatal' is none of error, warn, off",
    "severity = 'off'": "a gate that is off for all says nothing",
    "severities = { rte = 'of' }": "gate.severities['rte']: 'of' is none of error, warn, off",
    "on_inconclusive = 'maybe'": "'maybe' is none of fail, pass",
    "require = 'mmlu'": "gate.require: not a list (a text)",
    "suite = ['a']": "gate.suite: not a text (a list)",
    "limits = { emty = 0.1 }": "limits.emty: there is no such limit; did you mean empty?",
    "limits = { empty = 1 }": "limits.empty: 1 is no share of answers",
    WAIVER.format("expires = 2030-01-31"): "the key 'reason' is missing",
    WAIVER.format("expires = 2030-01-31, reason = ' '"): "waiver of a: it gives no reason",
    WAIVER.format("reason = 'x'"): "the key 'expires' is missing",
    WAIVER.format("reason = 'x', expires = '2030-01-31'"): "expires: not a day (a text)",
    WAIVER.format("reason = 'x', expires = 2030-01-31T10:00:00"): "expires: not a day (datetime)",
    WAIVER.format("reason = 'x', expires = 2030-01-31, candidat = 'c'"): "'candidat' is unknown (did you mean candid",
    "margin = ": "not TOML",
}


@pytest.mark.parametrize(("text", "message"), WRONG.items())
def test_what_is_wrong_is_named_with_what_would_be_right(repository: Path, text: str, message: str) -> None:
    (repository / "evalharness.toml").write_text(f"[gate]\n{text}\n")
    with pytest.raises(UsageError) as caught:
        find_policy()
    assert message in str(caught.value) and "evalharness.toml" in str(caught.value) and caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("evalharness.toml", "[gaet]\nalpha = 0.1\n", "gaet: there is no such table; did you mean gate?"),
        ("evalharness.toml", "gate = 3\n", "gate: not a table"),
        ("pyproject.toml", "[tool.evalharness.gaet]\n", "tool.evalharness.gaet: there is no such table"),
        ("pyproject.toml", "[tool]\nevalharness = 3\n", "tool.evalharness: not a table"),
        ("pyproject.toml", "[tool.evalharness.gate]\nalpha = 'x'\n", "tool.evalharness.gate.alpha: not a number"),
        ("pyproject.toml", "broken", "not TOML"),
    ],
)
def test_a_policy_that_is_in_the_wrong_place_is_not_passed_over(
    repository: Path, name: str, text: str, message: str
) -> None:
    (repository / name).write_text(text)
    with pytest.raises(UsageError) as caught:
        find_policy()
    assert message in str(caught.value)


def test_bytes_that_are_no_text_are_refused(repository: Path) -> None:
    (repository / "evalharness.toml").write_bytes(b"\xff\xfe[gate]")
    with pytest.raises(UsageError, match="not TOML"):
        find_policy()
