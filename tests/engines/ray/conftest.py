"""Ray on this machine, once for the tests of a file, and whether it left processes behind."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from evalharness import registry
from evalharness.engines.ray.options import ray_options
from evalharness.records.models import EngineSettings

HERE = Path(__file__).parent


def processes_of(parent: int) -> dict[int, str]:
    """Ray's processes among the children of a process and theirs: the start time by the id."""
    every: dict[int, tuple[int, str, str]] = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            stat = (place / "stat").read_text().rpartition(")")[2].split()
            every[int(place.name)] = int(stat[1]), stat[19], (place / "cmdline").read_text(errors="replace")
        except OSError:  # it has ended meanwhile
            continue
    own = {parent}
    while new := {number for number, (above, _, _) in every.items() if above in own} - own:
        own |= new
    return {number: every[number][1] for number in own - {parent} if "ray" in every[number][2]}


def gone(processes: Mapping[int, str], seconds: float = 20.0) -> bool:
    """Whether all of the processes end within so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not any(_started(number) == start for number, start in processes.items()):
            return True
        time.sleep(0.1)
    return False


def _started(process: int) -> str:
    """When a process started; "" where it has ended."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if stat[0] == "Z" else stat[19]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Ray with two cores, in whose workers the engine `lethal` is known, too."""
    cluster = pytest.importorskip("evalharness.engines.ray.cluster")
    folder = tmp_path_factory.mktemp("installed")
    (folder / "lethal-1.0.dist-info").mkdir()
    (folder / "lethal-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: lethal\nVersion: 1.0\n")
    (folder / "lethal-1.0.dist-info" / "entry_points.txt").write_text(
        "[evalharness.engines]\nlethal = lethal:FACTORY\n"
    )
    (folder / "lethal.py").write_text((HERE / "lethal.py").read_text())
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]))
        registry._added.cache_clear()
        started = cluster.Cluster(ray_options(EngineSettings(name="ray", options={"workers": "1"})))
        try:
            yield
        finally:
            started.close()
            registry._added.cache_clear()
    assert gone(processes_of(os.getpid()))
