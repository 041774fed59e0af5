"""What is wrong with the engine's options is said before Ray is started."""

from __future__ import annotations

import pytest

from evalharness.engines.ray.options import ray_options
from evalharness.errors import UsageError
from evalharness.records.models import EngineSettings


def settings(device: str = "auto", **options: str) -> EngineSettings:
    return EngineSettings(name="ray", device=device, options=options)


def test_defaults_and_what_goes_to_the_engine_inside() -> None:
    plain = ray_options(settings())
    assert (plain.workers, plain.cpus, plain.gpus, plain.threads, plain.address) == (None, 1.0, None, 1, "")
    assert plain.inner == EngineSettings(name="hf")
    given = ray_options(settings("cpu", engine="scripted", answers="a.jsonl", cpus="2.5", workers="3", wait="9"))
    assert given.inner == EngineSettings(name="scripted", device="cpu", options={"answers": "a.jsonl"})
    assert (given.workers, given.threads, given.gpus, given.wait) == (3, 2, 0.0, 9.0)
    assert ray_options(settings(cpus="4", threads="1", gpus="0.5")).threads == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"worker": "2"}, "the engine ray has no option 'worker'; did you mean workers"),
        ({"answers": "a.jsonl"}, "the engine ray has no option 'answers'"),
        ({"workers": "0"}, "workers: '0' is no whole number above 0"),
        ({"threads": "two"}, "threads: 'two' is no whole number"),
        ({"cpus": "0"}, "cpus: '0' is no number above 0"),
        ({"gpus": "-1"}, "gpus: '-1' is no number of at least 0"),
        ({"wait": "nan"}, "wait: 'nan' is no number above 0"),
        ({"engine": "ray"}, "workers of Ray in workers of Ray"),
        ({"engine": "hff"}, "unknown engine 'hff'; did you mean hf"),
    ],
)
def test_what_is_wrong_is_refused(options: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ray_options(settings(**options))
