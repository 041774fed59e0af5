"""Define the workloads in which one model in memory answers: requests, models, floors and goals."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import flops
import models
import table
import torch
from duel import RANKED, WRITTEN, Batches, Rounds, duel
from texts import SHOTS, Row, Writer, write_task
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from evalharness import fingerprint
from evalharness.checkpoints.recognise import recognise
from evalharness.data.sources import DataSource
from evalharness.engines.hf.engine import HFEngine
from evalharness.engines.hf.factory import FACTORY
from evalharness.records.models import EngineSettings
from evalharness.records.requests import Generate, Generation, Rank, Request
from evalharness.tasks.library import Library
from evalharness.tasks.prepare import PromptSettings, prepare

REAL = "SmolLM2-135M"
SUBJECT = "mmlu_astronomy"
LARGE = 24  # questions for the larger models, of which 100 take lm-eval minutes a round


class Skip(Exception):
    """Why a workload cannot be measured here."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """How much is measured, and where its files lie. `most`: requests of a workload at most; `real`: the directory of
    SmolLM2-135M; `data`: rows of MMLU as published.
    """

    folder: Path
    rounds: int = 3
    threads: int = 2
    most: int | None = None
    real: Path | None = None
    data: Path | None = None

    def count(self, full: int) -> int:
        return full if self.most is None else min(full, self.most)

    def model(self, kind: str) -> Path:
        """The directory of a model, made first where need be. Raises Skip."""
        if kind == REAL:
            if self.real is None:
                raise Skip(f"EVALHARNESS_REAL_MODEL names no directory of {REAL}")
            return self.real
        return models.cached(self.folder / "models" / kind, partial(models.make_base, kind=kind))


@dataclass(frozen=True, kw_only=True)
class Workload:
    """One line of the table. `measure` raises Skip."""

    name: str
    model: str
    floor: float
    goal: float
    measure: Callable[[Bench, Workload], table.Result]


# ---- requests --------------------------------------------------------------------------------------------------------


def of_task(
    bench: Bench, name: str, form: str, rows: dict[str, list[Row]], stop: str = "\n", shots: int | None = None
) -> list[Request]:
    """The requests of a task that is written first; `shots`: other than the task's own."""
    path = write_task(bench.folder / "work", name, form, rows, stop)
    prepared = prepare(Library().select([str(path)])[0], DataSource(), PromptSettings(num_fewshot=shots))
    return list(prepared.requests)


def letters(bench: Bench, kind: str, count: int = 100) -> list[Request]:
    """MMLU, five shots: the published rows where there are any, else drawn ones."""
    if bench.data:
        settings = PromptSettings(num_fewshot=SHOTS)
        prepared = prepare(Library().task(SUBJECT), DataSource(bench.data), settings)
        return list(prepared.requests)[: bench.count(count)]
    writer = Writer(1)
    rows = {
        "dev": [writer.letters() for _ in range(SHOTS)],
        "test": [writer.letters() for _ in range(bench.count(count))],
    }
    return of_task(bench, f"letters_{kind}", "letters", rows)


def ranked(bench: Bench, kind: str, fewest: int, most: int, count: int) -> list[Request]:
    writer = Writer(2)
    rows = [writer.ranked(fewest, most) for _ in range(bench.count(count))]
    return of_task(bench, f"ranked_{fewest}_{most}", "ranked", {"test": rows})


def passages(bench: Bench, kind: str) -> list[Request]:
    writer = Writer(3)
    return of_task(bench, "passages", "passage", {"test": [writer.passage() for _ in range(bench.count(64))]})


def documents(bench: Bench, kind: str, count: int = 32) -> list[Request]:
    """Summaries: invented words end with a syllable, the real model's with a sentence."""
    writer, stop = Writer(4), "." if kind == REAL else models.STOP
    return of_task(
        bench, "documents", "document", {"test": [writer.document() for _ in range(bench.count(count))]}, stop
    )


# ---- measuring -------------------------------------------------------------------------------------------------------


def write_job(
    bench: Bench,
    name: str,
    model: Path,
    requests: Sequence[Request],
    adapter: Path | None = None,
    drafts: dict[str, str] | None = None,
) -> Path:
    """The file by which side.py is told what to answer."""
    path = bench.folder / "work" / f"{fingerprint.of_value(name)[:16]}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    job = {
        "model": str(model),
        "adapter": str(adapter) if adapter else None,
        "requests": [asdict(request) for request in requests],
        "drafts": drafts or {},
    }
    path.write_text(json.dumps(job), "utf-8")
    return path


def pairs_of(request: Request, answer: Any) -> Sequence[tuple[str, str]]:
    """The texts that a model reads and those that it scores or writes after them."""
    if isinstance(request, Rank):
        return request.pairs
    assert isinstance(request, Generate)
    return [(request.prompt, answer[0])]


def needed_operations(model: Path, requests: Sequence[Request], answers: Sequence[Any]) -> float | None:
    """Of a decoder-only model; None of another."""
    config = AutoConfig.from_pretrained(model)
    if config.is_encoder_decoder:
        return None
    tokenizer = AutoTokenizer.from_pretrained(model)
    with torch.device("meta"):
        sizes = flops.sizes_of(AutoModelForCausalLM.from_config(config))
    texts = [pair for request, answer in zip(requests, answers, strict=True) for pair in pairs_of(request, answer)]
    rows = []
    for context, continuation in texts:
        whole, before = tokenizer(context + continuation).input_ids, len(tokenizer(context).input_ids)
        rows.append((whole[:before], whole[before:]))
    return flops.needed(rows, sizes)


def result_of(
    workload: Workload, ours: Rounds, theirs: Rounds, requests: Sequence[Request], share: float | None
) -> table.Result:
    largest, differing = table.differences(ours.answers, theirs.answers)
    return table.Result(
        workload=workload.name,
        model=workload.model,
        ratio=table.ratio(ours.busy, theirs.busy),
        floor=workload.floor,
        goal=workload.goal,
        median_ours=median(ours.busy),
        median_theirs=median(theirs.busy),
        wall_ours=median(ours.wall),
        wall_theirs=median(theirs.wall),
        peak_memory_ours=ours.growth,
        peak_memory_theirs=theirs.growth,
        max_difference=largest,
        differing=differing,
        flops_share=share,
        batch_ours=ours.batch,
        batch_theirs=theirs.batch,
        requests=len(requests),
        rounds=len(ours.busy),
    )


def against(make: Callable[[Bench, str], list[Request]], bench: Bench, workload: Workload) -> table.Result:
    """Measure requests on a base."""
    model = bench.model(workload.model)
    requests = make(bench, workload.model)
    job = write_job(bench, workload.name, model, requests)
    batches, sample = (WRITTEN, 32) if isinstance(requests[0], Generate) else (RANKED, 16)
    sides, rate = duel({"ours": job, "theirs": job}, bench.threads, bench.rounds, batches, sample)
    operations = needed_operations(model, requests, sides["ours"].answers)
    share = operations / median(sides["ours"].busy) / rate if operations else None
    return result_of(workload, sides["ours"], sides["theirs"], requests, share)


# ---- drafts ----------------------------------------------------------------------------------------------------------


def base_texts(bench: Bench, model: Path, requests: Sequence[Request]) -> dict[str, str]:
    """The base's answers by request id, kept beside its models."""
    digest = fingerprint.of_value([request.id for request in requests])[:16]
    path = bench.folder / "models" / f"texts-{model.name}-{digest}.json"
    if not path.is_file():
        engine = FACTORY.open(recognise(str(model)), EngineSettings(device="cpu"))
        answers = [answer for answer in engine.answer(requests) if isinstance(answer, Generation)]
        engine.close()
        path.write_text(json.dumps({answer.request_id: answer.text for answer in answers}), "utf-8")
    return dict(json.loads(path.read_text("utf-8")))


def agreeing(bench: Bench, requests: Sequence[Request], texts: dict[str, str], share: float) -> Path:
    """A LoRA on the small model that agrees with it on so many of its tokens (models.agreement)."""
    base = bench.model("30M")
    tokenizer = AutoTokenizer.from_pretrained(base)
    pairs = [(r.prompt, texts[r.id]) for r in requests if isinstance(r, Generate) and texts[r.id]]
    rows = [(tokenizer(prompt).input_ids, tokenizer(text).input_ids) for prompt, text in pairs]
    folder = bench.folder / "models" / f"agreeing-{share:g}-of-{len(rows)}"
    return models.cached(folder, lambda path: models.make_agreeing(path, base, share, rows))


def check_drafts() -> None:
    """Raises Skip."""
    if not hasattr(HFEngine, "answer_with_drafts"):
        raise Skip("the engine takes no drafts")


def drafted_against_lm_eval(bench: Bench, workload: Workload) -> table.Result:
    """The candidate that agrees on 90 %, the base's answers at hand."""
    check_drafts()
    model, requests = bench.model("30M"), documents(bench, "30M")
    texts = base_texts(bench, model, requests)
    adapter = agreeing(bench, requests, texts, 0.9)
    jobs = {
        "ours": write_job(bench, f"{workload.name}, ours", model, requests, adapter, texts),
        "theirs": write_job(bench, f"{workload.name}, theirs", model, requests, adapter),
    }
    batches: Batches = {"ours": ({},), "theirs": (8, 16)}
    sides, _ = duel(jobs, bench.threads, bench.rounds, batches, 32)
    return result_of(workload, sides["ours"], sides["theirs"], requests, None)


def drafted_against_not(agreement: float, bench: Bench, workload: Workload) -> table.Result:
    """Ours with drafts against ours without."""
    check_drafts()
    model, requests = bench.model("30M"), documents(bench, "30M", 16)
    texts = base_texts(bench, model, requests)
    adapter = agreeing(bench, requests, texts, agreement)
    jobs = {
        "ours-drafted": write_job(bench, f"{workload.name}, drafted", model, requests, adapter, texts),
        "ours-plain": write_job(bench, f"{workload.name}, plain", model, requests, adapter),
    }
    sides, _ = duel(jobs, bench.threads, bench.rounds, {"ours": ({},)}, 32)
    return result_of(workload, sides["ours-drafted"], sides["ours-plain"], requests, None)


def _on_base(name: str, model: str, floor: float, goal: float, make: Callable[[Bench, str], list[Request]]) -> Workload:
    return Workload(name=name, model=model, floor=floor, goal=goal, measure=partial(against, make))


IN_MEMORY = (
    _on_base("MMLU 5-shot", "30M", 8, 12, letters),
    _on_base("MMLU 5-shot, large vocabulary", "150M", 8, 12, partial(letters, count=LARGE)),
    _on_base("MMLU 5-shot, real model", REAL, 5, 8, partial(letters, count=LARGE)),
    _on_base("5–10 choices", "30M", 5, 7, partial(ranked, fewest=5, most=10, count=48)),
    _on_base("4 choices", "30M", 2.5, 3.5, partial(ranked, fewest=4, most=4, count=64)),
    _on_base("yes or no after a passage", "30M", 1.6, 2.5, passages),
    _on_base("4 choices, encoder-decoder", "T5", 1.8, 2.5, partial(ranked, fewest=4, most=4, count=64)),
    _on_base("5–10 choices, encoder-decoder", "T5", 2.5, 4, partial(ranked, fewest=5, most=10, count=48)),
    _on_base("summaries", "30M", 1.7, 2.5, documents),
    _on_base("summaries, real model", REAL, 1.5, 2, partial(documents, count=16)),
    Workload(name="summaries, drafted", model="30M + LoRA", floor=2.2, goal=3.5, measure=drafted_against_lm_eval),
    *(
        Workload(
            name=f"drafted against not, {share:.0%} agree",
            model="30M + LoRA",
            floor=0.95,
            goal=1,
            measure=partial(drafted_against_not, share),
        )
        for share in (0, 0.5, 0.9, 1)
    ),
)
