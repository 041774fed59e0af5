"""The pytest plugin, run by pytest itself on finished runs."""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path

import pytest
from compared_tables import LOST, compared
from test_layers import HEAVY, imported_by

import evalharness.gated_run  # once: a pytest inside pytest forgets what was first imported in it
import evalharness.pytest_plugin

ROOT = Path(__file__).resolve().parent.parent
WAIVER = '[gate]\n[[gate.waivers]]\nunit = "task4"\nreason = "its labels are wrong"\nexpires = 2099-12-31\n'
TESTS = """
def test_kept(evalharness_run):
    evalharness_run.assert_retained("task1")

def test_lost(evalharness_run):
    evalharness_run.assert_retained("task4", candidate="new")
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compared(tmp_path_factory.mktemp("finished"))


@pytest.fixture
def inner(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A pytest of its own in an empty folder, with our plugin alone, be it installed with the package or not."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p evalharness.pytest_plugin -p no:cacheprovider")
    return pytester


def asserts(inner: pytest.Pytester, run: Path, assertion: str, *arguments: str) -> pytest.RunResult:
    """One test with an assertion about a run."""
    inner.makepyfile(f"def test(evalharness_run):\n    evalharness_run.{assertion}")
    return inner.runpytest_inprocess("--evalharness-run", str(run), *arguments)


def test_a_forgotten_unit_fails_its_test_with_the_gates_sentence(inner: pytest.Pytester, finished: Path) -> None:
    inner.makepyfile(TESTS)
    outcome = inner.runpytest_inprocess("--evalharness-run", str(finished), "-W", "error")
    outcome.assert_outcomes(passed=1, failed=1)
    (row,) = (unit for unit in evalharness.gate(finished).candidates[0].units if unit.row.task == "task4")
    assert row.reason.startswith("forgotten: new on task4: score −0.060 [")
    outcome.stdout.fnmatch_lines_random([f"E*AssertionError: {row.reason.replace('[', '[[]')}"])
    assert "gated_run.py" not in outcome.stdout.str()  # the test's own line is shown, none of ours


def test_the_repositorys_policy_holds(inner: pytest.Pytester, finished: Path) -> None:
    inner.makepyfile(TESTS)
    (inner.path / "evalharness.toml").write_text(WAIVER)
    inner.runpytest_inprocess("--evalharness-run", str(finished)).assert_outcomes(passed=2)
    without = inner.runpytest_inprocess("--evalharness-run", str(finished), "--evalharness-policy", "none")
    without.assert_outcomes(passed=1, failed=1)
    (inner.path / "evalharness.toml").write_text("[gate]\nmargin = 0.1\n")  # judged again
    inner.runpytest_inprocess("--evalharness-run", str(finished)).assert_outcomes(passed=2)


def test_the_ini_file_names_run_and_policy_from_its_own_folder(inner: pytest.Pytester, finished: Path) -> None:
    inner.makepyfile(TESTS)
    (inner.path / "gate").mkdir()
    (inner.path / "gate/own.toml").write_text(WAIVER)
    inner.makeini(
        f"[pytest]\nevalharness_run = {os.path.relpath(finished, inner.path)}\nevalharness_policy = gate/own.toml"
    )
    inner.runpytest_inprocess().assert_outcomes(passed=2)
    inner.runpytest_inprocess("--evalharness-policy", "none").assert_outcomes(passed=1, failed=1)


def test_the_suite_and_the_candidate_as_a_whole(inner: pytest.Pytester, finished: Path, tmp_path: Path) -> None:
    (suite,) = (unit.row.task for unit in evalharness.gate(finished).candidates[0].units if not unit.row.is_gate_unit)
    done = asserts(inner, finished, "assert_may_ship()")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["E*AssertionError: new may not ship: 4 gate units, 1 *", "E*forgotten: new on *"])
    kept = compared(tmp_path, dict.fromkeys(LOST, 0))
    asserts(inner, kept, "assert_may_ship()").assert_outcomes(passed=1)
    asserts(inner, kept, f"assert_retained({suite!r})").assert_outcomes(passed=1)
    asserts(inner, kept, "results.comparisons[0].task.index('task1')").assert_outcomes(passed=1)


def test_what_is_undecided_passes_only_where_that_is_allowed(inner: pytest.Pytester, tmp_path: Path) -> None:
    run = compared(tmp_path, dict.fromkeys(LOST, 1), examples=50)
    for unit in ("task1", "suite"):
        done = asserts(inner, run, f"assert_retained({unit!r})")
        done.assert_outcomes(failed=1)
        done.stdout.fnmatch_lines(
            [
                f"E*AssertionError: *decided: new over {unit}: *"
                if unit == "suite"
                else "E*AssertionError: inconclusive: new on task1: score −0.020 *examples would show*"
            ]
        )
        asserts(inner, run, f"assert_retained({unit!r}, allow_undecided=True)").assert_outcomes(passed=1)


def test_no_unit_of_an_incomplete_run_passes(inner: pytest.Pytester, finished: Path) -> None:
    (inner.path / "evalharness.toml").write_text("[gate]\nrequire = ['mmlu']\n")
    done = asserts(inner, finished, "assert_retained('task1', allow_undecided=True)")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["E*incomplete: the policy requires mmlu, which was not asked"])


def test_names_that_are_not_there_are_errors_of_the_test(inner: pytest.Pytester, finished: Path) -> None:
    done = asserts(inner, finished, "assert_retained('task44')")
    done.stdout.fnmatch_lines(["E*UsageError: unit: no gate unit 'task44' in the run; did you mean task4*"])
    done = asserts(inner, finished, "assert_retained('task4', candidate='mew')")
    done.stdout.fnmatch_lines(["E*UsageError: candidate: no candidate 'mew' in the run; did you mean new?"])


def test_a_run_that_is_not_given_or_not_there_is_a_usage_error(inner: pytest.Pytester, finished: Path) -> None:
    inner.makepyfile(TESTS)
    outcome = inner.runpytest_inprocess()
    assert outcome.ret == pytest.ExitCode.USAGE_ERROR
    outcome.stderr.fnmatch_lines(["ERROR: evalharness_run: a test uses it, and no run is given; give*"])
    assert inner.runpytest_inprocess("--collect-only").ret == 0
    inner.runpytest_inprocess("--evalharness-run", "none").assert_outcomes(skipped=2)
    outcome = inner.runpytest_inprocess("--evalharness-run", "nowhere")
    assert outcome.ret == pytest.ExitCode.USAGE_ERROR
    outcome.stderr.fnmatch_lines(["ERROR: nowhere*"])
    (inner.path / "evalharness.toml").write_text("[gate]\nceling = 0.1\n")
    outcome = inner.runpytest_inprocess("--evalharness-run", str(finished))
    assert outcome.ret == pytest.ExitCode.USAGE_ERROR
    outcome.stderr.fnmatch_lines(["ERROR: *evalharness.toml: gate.celing: there is no such key; did you mean ceiling*"])


def test_other_tests_do_without_a_run(inner: pytest.Pytester) -> None:
    inner.makepyfile("def test(): pass")
    inner.runpytest_inprocess("-W", "error").assert_outcomes(passed=1)


def test_nothing_that_a_task_is_called_is_a_command_of_a_ci_runner(inner: pytest.Pytester, tmp_path: Path) -> None:
    done = asserts(inner, compared(tmp_path, {"##[error]t": 60, "task2": 0}), "assert_may_ship()")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["E*forgotten: new on #*[[]error]t*"])
    assert "##[" not in done.stdout.str()


def test_it_is_installed_with_the_package_and_light() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"evalharness": evalharness.pytest_plugin.__name__}
    assert not imported_by("import evalharness.pytest_plugin") & {*HEAVY, "numpy", "scipy", "pandas", "cattrs", "click"}


def test_a_worker_of_xdist_says_so_of_each_test(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makepyfile(TESTS)
    plugins = ("-p", "xdist", "-p", "evalharness.pytest_plugin")
    done = pytester.run(sys.executable, "-m", "pytest", *plugins, "-n", "1", "-W", "error")
    done.assert_outcomes(errors=2)
    done.stdout.fnmatch_lines(["evalharness_run: a test uses it, and no run is given; give --evalharness-run DIR*"])
