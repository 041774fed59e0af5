"""What run.json says of a run's time holds whatever the clock does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from evalharness import paths
from evalharness.run.run_log import RunLog

pytestmark = pytest.mark.fault(32)
YEAR = 365 * 86_400.0


@pytest.fixture(params=["America/St_Johns", "Pacific/Kiritimati"])
def time_zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process lies far from UTC."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def spent(log: RunLog) -> list[float]:
    with log.timed("answer"):
        log.count("base", computed=1, seconds=0.0)
    facts = log.facts()
    return [facts["seconds"], *facts["phases"].values(), *(row["seconds"] for row in facts["models"].values())]


@pytest.mark.parametrize("step", [-YEAR, -3600.0, 3600.0, YEAR])
def test_a_clock_that_is_set_moves_no_duration(step: float, monkeypatch: pytest.MonkeyPatch) -> None:
    log, now = RunLog(), time.time()
    monkeypatch.setattr(time, "time", lambda: now + step)
    assert all(0 <= seconds < 60 for seconds in spent(log))
    assert all(0 <= seconds < 60 for seconds in spent(RunLog(started=now - step)))


@pytest.mark.usefixtures("time_zone")
def test_stamps_are_in_utc() -> None:
    assert RunLog(started=2**31 + 10).facts()["started"] == "2038-01-19T03:14:18Z"
    assert RunLog(started=0).facts()["started"] == "1970-01-01T00:00:00Z"
    folder = datetime.strptime(paths.run_folder("demo").name[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)
    assert abs((datetime.now(UTC) - folder).total_seconds()) < 60
