"""Ray on this machine, once for the tests of a file, and whether it left processes behind."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from evalharness import registry
from evalharness.engines.ray.options import ray_options
from evalharness.records.models import EngineSettings

HERE = Path(__file__).parent


def ray_processes() -> list[str]:
    """The command lines of Ray's processes that this one's children, or theirs, are."""
    every = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            every[int(place.name)] = parent, (place / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:  # it has ended meanwhile
            continue
    own = {os.getpid()}
    while new := {number for number, (parent, _) in every.items() if parent in own} - own:
        own |= new
    return [text for number, (_, text) in every.items() if number in own and ("raylet" in text or "ray::" in text)]


def without_processes(seconds: float = 20.0) -> bool:
    """Whether all of Ray's processes end within so many seconds."""
    end = time.monotonic() + seconds
    while ray_processes() and time.monotonic() < end:
        time.sleep(0.1)
    return not ray_processes()


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
    assert without_processes()
