"""Workers of this machine answer as one engine does; what kills them is given up, and nothing else is lost."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from evalharness.checkpoints.recognise import recognise
from evalharness.engines.ray.factory import RayFactory
from evalharness.engines.spreading import AnsweredBlock, BlockJob
from evalharness.errors import ModelError, UsageError
from evalharness.paths import shipped
from evalharness.records.models import Checkpoint, EngineSettings
from evalharness.records.requests import Failure, Generate, Generation

pytestmark = pytest.mark.usefixtures("machine")


def settings(**options: str) -> EngineSettings:
    return EngineSettings(name="ray", options={"engine": "lethal", "workers": "2", **options})


@pytest.fixture(scope="module")
def base() -> Checkpoint:
    return recognise(str(shipped("fixtures/models") / "tiny-base"))


@pytest.fixture(scope="module")
def factory(machine: None) -> Iterator[RayFactory]:
    factory = RayFactory()
    with factory.keep_engines():
        yield factory


def answered(factory: RayFactory, base: Checkpoint, *prompts: str) -> dict[str, AnsweredBlock]:
    """Blocks of one prompt each, by prompt."""
    factory.describe(base, settings())
    spreader = factory.spread(settings())
    for number, prompt in enumerate(prompts):
        request = Generate(prompt=prompt, stop=(), max_tokens=4)
        spreader.add(BlockJob(number=number, checkpoint=base, requests=(request,)))
    return {prompts[block.job.number]: block for block in spreader.finished()}


def test_blocks_go_to_both_workers_and_cores_are_theirs(factory: RayFactory, base: Checkpoint) -> None:
    info = factory.describe(base, settings())
    assert (info.name, info.details) == ("lethal", {"threads": "1"})
    blocks = answered(factory, base, *(f"prompt {number}" for number in range(8)))
    assert len(blocks) == 8
    texts = {answer.text for block in blocks.values() for answer in block.answers if isinstance(answer, Generation)}
    assert len(texts) == 2 and str(os.getpid()) not in texts
    assert {len(block.cost.loads) for block in blocks.values() if block.cost} == {0, 1}


@pytest.mark.slow
def test_a_lost_worker_costs_its_block_a_try_and_a_poisoned_one_is_given_up(
    factory: RayFactory, base: Checkpoint, tmp_path: Path
) -> None:
    once = f"once {tmp_path / 'mark'}"
    blocks = answered(factory, base, "kill", once, "raise", "fine")
    (killed,), (raised,) = blocks["kill"].answers, blocks["raise"].answers
    assert isinstance(killed, Failure) and isinstance(raised, Failure)
    assert "given up after 4 tries: its worker was lost" in killed.reason
    assert "given up after 4 tries: KeyError" in raised.reason
    assert len(blocks["kill"].losses) == 4 and blocks["kill"].cost is None and not blocks["raise"].losses
    assert len(blocks[once].losses) == 1
    assert all(isinstance(blocks[prompt].answers[0], Generation) for prompt in (once, "fine"))


@pytest.mark.slow
def test_an_engine_of_one_model_is_as_robust(factory: RayFactory, base: Checkpoint, tmp_path: Path) -> None:
    engine = factory.open(base, settings())
    asked = Generate(prompt=f"once {tmp_path / 'mark'}", stop=(), max_tokens=4)
    (answer,) = engine.answer([asked])
    assert isinstance(answer, Generation) and engine.plain_because == ""
    assert not hasattr(engine, "next_token_logits")  # the engine inside has none


def test_files_that_a_node_lacks_or_has_otherwise_are_named_with_it(
    factory: RayFactory, base: Checkpoint, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=r"elsewhere on node \S+ [0-9a-f]{8}: is not there; have the same files"):
        factory.describe(replace(base, path=tmp_path / "elsewhere", fingerprint="1"), settings())
    with pytest.raises(ModelError, match=r"tiny-base on node \S+ [0-9a-f]{8}: its files are not those of this path"):
        factory.describe(replace(base, fingerprint="2"), settings())


@pytest.mark.slow
def test_a_cluster_without_room_for_a_worker_is_an_error_in_time(base: Checkpoint) -> None:
    with pytest.raises(UsageError, match=r"no worker could be started in 0.5 s: each asks for 1 CPU and 1 GPU; the"):
        RayFactory().describe(base, settings(gpus="1", wait="0.5"))
