"""Give pytest the fixture `evalharness_run`: a finished run, judged by the repository's policy, for assertions.

PYTEST_DONT_REWRITE: nothing is asserted here, and pytest warns of what it can no longer rewrite
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from evalharness import registry
from evalharness.errors import EvalHarnessError

if TYPE_CHECKING:
    from evalharness.gated_run import GatedRun

REGISTRY = {"gated_run": "evalharness.gated_run:gated_run"}  # imported where a test uses it
RUN, POLICY, NONE = "evalharness_run", "evalharness_policy", "none"
HELP = {
    RUN: "folder of the finished run that the fixture evalharness_run judges; none: tests that use it are skipped",
    POLICY: "file of the gate's policy, or none (default: evalharness.toml or pyproject.toml, as the gate finds it)",
}
JUDGED = pytest.StashKey["GatedRun"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("evalharness")
    for name, text in HELP.items():
        metavar = "DIR" if name == RUN else "FILE"
        group.addoption(f"--{name.replace('_', '-')}", dest=name, metavar=metavar, help=text)
        parser.addini(name, f"{text}; from the folder of the ini-file", default="")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Judge the run before the first test if any test uses it: an unusable run ends the session with one message. A
    worker of pytest-xdist cannot end its session like that; there, the tests that use the run fail.
    """
    config = session.config
    used = any(RUN in getattr(item, "fixturenames", ()) for item in session.items)
    if used and not (config.option.collectonly or hasattr(config, "workerinput") or _setting(config, RUN) == NONE):
        config.stash[JUDGED] = _judged(config)


@pytest.fixture(scope="session")
def evalharness_run(pytestconfig: pytest.Config) -> GatedRun:
    """Return the run of --evalharness-run DIR with the gate's decision: `results`, `decision`, `assert_retained(unit)`,
    `assert_may_ship()`.
    """
    if _setting(pytestconfig, RUN) == NONE:
        pytest.skip("--evalharness-run is none")
    if JUDGED in pytestconfig.stash:
        return pytestconfig.stash[JUDGED]
    try:
        return _judged(pytestconfig)
    except pytest.UsageError as error:
        pytest.fail(str(error), pytrace=False)


def _judged(config: pytest.Config) -> GatedRun:
    """Judge the run. Raises pytest.UsageError for a run or a policy that is missing, or cannot be read or judged."""
    run = _setting(config, RUN)
    if run is None:
        fix = (
            f"give --evalharness-run DIR, state {RUN} in pytest's ini-file, or skip these tests: --evalharness-run none"
        )
        raise pytest.UsageError(f"{RUN}: a test uses it, and no run is given; {fix}")
    try:
        judged: GatedRun = registry.find(REGISTRY, "gated_run", "stage")(
            Path(run), _setting(config, POLICY), config.invocation_params.dir
        )
    except EvalHarnessError as error:
        raise pytest.UsageError(str(error)) from error
    return judged


def _setting(config: pytest.Config, name: str) -> str | None:
    """Return the value of an option, else of the ini-file, in which paths are relative to its folder."""
    if (option := config.getoption(name)) is not None:
        return str(option)
    stated = str(config.getini(name))
    if stated in ("", NONE):
        return stated or None
    return str((config.inipath or config.rootpath / "-").parent / stated)
