"""Blocks that are answered side by side, in any order, leave what one engine leaves that answers one after another."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from evalharness import api, fingerprint, store
from evalharness.engines.scripted import ScriptedFactory
from evalharness.engines.spreading import AnsweredBlock, BlockCost, BlockJob, SpreadsBlocks
from evalharness.records.models import Checkpoint, EngineInfo, EngineSettings
from evalharness.records.requests import Failure, Generation, Rank, Ranking, Request, Response

ECHO = """
task: {name}
dataset_path: local/rows
test_split: test
output_type: {kind}
doc_to_text: "{{{{text}}}} :"
doc_to_target: {target}
{more}
metadata: {{version: 1.0, family: other, chance: {chance}, primary: {metric}, lm_eval: no}}
"""
WRITTEN = 'generation_kwargs: {until: ["\\n"], max_gen_toks: 6}\nmetric_list: [{metric: exact_match}]'
CHOSEN = 'doc_to_choice: ["no", "yes"]\nmetric_list: [{metric: acc}]'
TASKS = ("first", "again", "choice")  # `again` asks what `first` does: its answers are those of the blocks before


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three tasks on 150 rows: two blocks each."""
    root = tmp_path_factory.mktemp("world")
    (root / "tasks").mkdir()
    for name in TASKS:
        kind, target, more, chance, metric = (
            ("multiple_choice", "label", CHOSEN, 0.5, "acc")
            if name == "choice"
            else ("generate_until", '"{{text}}"', WRITTEN, 0.0, "exact_match")
        )
        text = ECHO.format(name=name, kind=kind, target=target, more=more, chance=chance, metric=metric)
        (root / "tasks" / f"{name}.yaml").write_text(text)
    folder = root / "data" / "local" / "rows" / "default"
    folder.mkdir(parents=True)
    rows = [{"text": f"row {i}", "label": i % 2} for i in range(150)]
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root


PROOF = 3  # blocks that the proof of the adapter asks of one engine: of the base, and of the adapter twice


class BlockEngine:
    """Answers by what else is in the block, and by the drafts; to rows that end with `deaf` not at all."""

    def __init__(self, info: EngineInfo, name: str, asked: Counter[tuple[str, str]], deaf: str) -> None:
        self.info, self._name, self._asked, self._deaf = info, name, asked, deaf

    def answer(self, requests: Sequence[Request]) -> Iterator[Response | Failure]:
        return self.answer_with_drafts(requests, {})

    def answer_with_drafts(
        self, requests: Sequence[Request], drafts: Mapping[str, str]
    ) -> Iterator[Response | Failure]:
        block = fingerprint.of_value([[request.id for request in requests], sorted(drafts.items())])
        self._asked[self._name, block] += 1
        for request in requests:
            prompt = request.pairs[0][0] if isinstance(request, Rank) else request.prompt
            if not prompt.startswith("row ") or prompt.split()[1].endswith(self._deaf):
                yield Failure(request_id=request.id, reason="deaf")
            elif isinstance(request, Rank):
                right = int(fingerprint.of_value([self._name, block, prompt])[-1], 16) % 3 > 0
                of_pairs = (0.0, -1.0) if right == (int(prompt.split()[1]) % 2 == 0) else (-1.0, 0.0)
                yield Ranking(request_id=request.id, logprobs=of_pairs, tokens=(1, 1), greedy=(True, False))
            else:
                text = f"{prompt[:-2]}{'' if block[0] < '8' else block}"
                yield Generation(request_id=request.id, text=text, finish_reason="eos", tokens=2)

    def close(self) -> None: ...


class OneByOne(ScriptedFactory):
    """Opens BlockEngines. `asked`: how often each model was asked each block."""

    def __init__(self, deaf: str = "7") -> None:
        super().__init__(lambda request: Failure(request_id=request.id, reason="not asked"))
        self.deaf = deaf
        self.asked: Counter[tuple[str, str]] = Counter()

    def open(self, checkpoint: Checkpoint, settings: EngineSettings) -> Any:
        return BlockEngine(self.describe(checkpoint, settings), checkpoint.name, self.asked, self.deaf)


class SideBySide(OneByOne):
    """Answers the blocks that it is given in an order drawn by `seed`; its `holders` are who keeps it."""

    def __init__(self, seed: int, deaf: str = "7") -> None:
        super().__init__(deaf)
        self.holders, self.most, self._draw = 0, 0, random.Random(seed)
        self._jobs: list[BlockJob] = []

    def spread(self, settings: EngineSettings) -> SideBySide:
        assert self.holders
        self._settings = settings
        return self

    @contextmanager
    def keep_engines(self) -> Iterator[None]:
        self.holders += 1
        yield
        self.holders -= 1

    def add(self, job: BlockJob) -> None:
        self._jobs.append(job)
        self.most = max(self.most, len(self._jobs))

    def finished(self) -> Iterator[AnsweredBlock]:
        while self._jobs:
            job = self._jobs.pop(self._draw.randrange(len(self._jobs)))
            engine = self.open(job.checkpoint, self._settings)
            answers = tuple(engine.answer_with_drafts(job.requests, job.drafts))
            cost = BlockCost(node="here", seconds=1.0, loads=(), process=1, device=None)
            yield AnsweredBlock(job=job, answers=answers, cost=cost, losses=("there",))


def run(world: Path, zoo: dict[str, Path], out: Path, factory: OneByOne, **options: Any) -> dict[str, Any]:
    """results.json, run.json, the store's rows, and the samples of a run."""
    api.evaluate(
        [f"lora={zoo['llama-lora']}", f"full={zoo['llama']}"],
        factory=factory,
        base=f"base={zoo['llama']}",
        include=world / "tasks",
        data_dir=world / "data",
        tasks=TASKS,
        allow_noop=True,
        out=out,
        store=out.with_suffix(".sqlite"),
        **options,
    )
    store.export(out.with_suffix(".sqlite"), out / "answers")
    return {
        "results": (out / "results.json").read_text(),
        "run": json.loads((out / "run.json").read_text()),
        "answers": sorted((out / "answers").read_text().splitlines()),
    }


@pytest.mark.parametrize(
    "options",
    [pytest.param({}, marks=pytest.mark.slow), {"until_decided": True}, {"explain": True, "describe": ("efficiency",)}],
)
def test_any_order_leaves_what_one_engine_leaves(
    world: Path, zoo: dict[str, Path], tmp_path: Path, options: dict[str, Any]
) -> None:
    one, several = OneByOne(), SideBySide(seed=1)
    assert isinstance(several, SpreadsBlocks) and not isinstance(one, SpreadsBlocks)
    alone = run(world, zoo, tmp_path / "one", one, **options)
    spread = run(world, zoo, tmp_path / "several", several, **options)
    assert spread["results"] == alone["results"]
    assert spread["answers"] == alone["answers"] and alone["answers"]
    for key in ("stored", "computed") if "until_decided" not in options else ():  # where `again` asks anew what failed
        counts = [{name: cost[key] for name, cost in each["run"]["models"].items()} for each in (alone, spread)]
        assert counts[0] == counts[1]
    assert several.most > 1 and not several.holders


def test_what_failed_is_not_asked_again_and_the_next_run_asks_for_nothing_else(
    world: Path, zoo: dict[str, Path], tmp_path: Path
) -> None:
    first, second = SideBySide(seed=2), SideBySide(seed=3)
    one = run(world, zoo, tmp_path / "out", first)
    assert set(first.asked.values()) == {1}
    assert {error["reason"] for error in json.loads(one["results"])["errors"]} == {"deaf"}
    nodes = one["run"]["nodes"]
    assert nodes["there"]["workers_lost"] == nodes["here"]["blocks"] == sum(first.asked.values()) - PROOF
    assert nodes["here"]["seconds"] == nodes["here"]["blocks"]
    two = run(world, zoo, tmp_path / "out", second)
    assert two["results"] == one["results"]
    assert not second.asked - first.asked and (first.asked - second.asked).total() == PROOF  # which is kept


def test_a_run_whose_answers_are_all_stored_spreads_nothing(world: Path, zoo: dict[str, Path], tmp_path: Path) -> None:
    run(world, zoo, tmp_path / "out", SideBySide(seed=4, deaf="none"), limit=6)
    again = SideBySide(seed=5)
    run(world, zoo, tmp_path / "out", again, limit=6)
    assert not again.asked and "nodes" not in json.loads((tmp_path / "out" / "run.json").read_text())
