"""The tiny base and an adapter on it behind a server, beside this machine's own engine on the same files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from openai_server import VLLM, Dialect, ModelServer, Served, load, serving_models, with_lora
from served_models import checkpoint_of

from evalharness.checkpoints.recognise import recognise
from evalharness.engines.base import Engine, factory_of
from evalharness.engines.hf.factory import FACTORY as HF
from evalharness.experiments.demo import base
from evalharness.records.job_options import make_job
from evalharness.records.models import EngineSettings
from evalharness.records.requests import Request
from evalharness.run.plan import make_run_plan
from evalharness.run.prompts import make_prompts

Open = Callable[..., Engine]


@pytest.fixture(scope="session")
def adapter(tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tiny.make_adapter(base(), tmp_path_factory.mktemp("served") / "lora", tiny.lora())
    return made


@pytest.fixture(scope="session")
def models(adapter: Path) -> dict[str, Served]:
    return {"base": load(base()), "lora": with_lora(base(), adapter, "base")}


@pytest.fixture
def serve(models: dict[str, Served]) -> Iterator[Callable[[Dialect], ModelServer]]:
    """Starts servers of the models; all end with the test."""
    started = []

    def start(dialect: Dialect = VLLM) -> ModelServer:
        context = serving_models(models, dialect)
        started.append(context)
        return context.__enter__()

    yield start
    for context in started:
        context.__exit__(None, None, None)


@pytest.fixture
def opened() -> Iterator[Open]:
    """Opens engines on served models; all are closed with the test."""
    engines: list[Engine] = []

    def open_engine(server: ModelServer, model: str = "base", **options: str) -> Engine:
        settings = EngineSettings(name="openai", options={"wait": "0.001", **options})
        engines.append(factory_of(settings).open(checkpoint_of(server, model), settings))
        return engines[-1]

    yield open_engine
    for engine in engines:
        engine.close()


@pytest.fixture
def local(adapter: Path) -> Iterator[Callable[[str], Engine]]:
    """Opens the same models by this machine's own engine."""
    engines: list[Engine] = []

    def open_engine(model: str = "base") -> Engine:
        place, of = (base(), None) if model == "base" else (adapter, base())
        engines.append(HF.open(recognise(str(place), base=of and str(of)), EngineSettings(device="cpu")))
        return engines[-1]

    yield open_engine
    for engine in engines:
        engine.close()


@pytest.fixture(scope="session")
def suite_requests(adapter: Path) -> list[Request]:
    """What the suite of the embedded world asks: choices, numbers, texts to write."""
    rows = base().parents[2] / "fixtures/world/rows"
    job = make_job((str(adapter),), "demo", base=str(base()), data_dir=rows, limit=2)
    prompts = make_prompts(job, make_run_plan(job), HF)
    (prepared, *_) = prompts.by_model.values()
    return [request for task in prepared for request in task.requests]
