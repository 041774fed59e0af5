"""Read the options of the engine ray: number of workers, their resources, the cluster, and the engine inside."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from evalharness import registry
from evalharness.engines import OPTIONS, REGISTRY
from evalharness.engines.base import check_options, known_options
from evalharness.engines.option_values import number_option, whole_option
from evalharness.errors import UsageError
from evalharness.records.models import EngineSettings

NAME = "ray"
WAIT = 120.0  # seconds for a worker to start
CPU = "cpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class RayOptions:
    """The options that say where workers run and what each worker has.

    `address`: of a running cluster, "auto" for the one of this machine, "" to start Ray here. `workers`: their number,
    None for as many as there is space for. `cpus`, `gpus`: for each worker; `gpus` None for as many as there are.
    `threads`: torch's in each worker. `wait`: seconds for a worker to start. `inner`: the settings of the engine in
    each worker.
    """

    address: str
    workers: int | None
    cpus: float
    gpus: float | None
    threads: int
    wait: float
    inner: EngineSettings


def ray_options(settings: EngineSettings) -> RayOptions:
    """Read the options. Raises UsageError for one that is unknown, or that is no number although it must be one."""
    check_options(settings, known_options(settings))
    options = settings.options
    name = options.get("engine", "hf")
    if name == NAME:
        raise UsageError("--engine-option engine", "workers of Ray in workers of Ray", "hf would be right")
    registry.check(REGISTRY, name, "engine")
    inner = {key: value for key, value in options.items() if key not in OPTIONS[NAME]}
    cpus = number_option(settings, "cpus", 1.0)
    gpus = number_option(settings, "gpus", -1.0, least=0.0)
    if settings.device.startswith(CPU):
        gpus = max(gpus, 0.0)
    workers = whole_option(settings, "workers")
    return RayOptions(
        address=options.get("address", ""),
        workers=workers,
        cpus=cpus,
        gpus=None if gpus < 0 else gpus,
        threads=whole_option(settings, "threads") or max(1, math.floor(cpus)),
        wait=number_option(settings, "wait", WAIT),
        inner=replace(settings, name=name, options=inner),
    )
