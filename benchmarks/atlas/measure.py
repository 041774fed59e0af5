"""Make and measure the atlas's candidates: train, evaluate with drift, repair, and keep each one's line."""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import lines
import torch
from lines import Line
from plan import Plan, Way, in_order

import evalharness
from evalharness.checkpoints.recognise import recognise
from evalharness.cli.progress import Lines
from evalharness.experiments.candidates import make_candidate
from evalharness.records.comparison import value_of
from evalharness.results import write_text

RESULTS, EVALUATIONS = "results.json", "evaluations"
Job = Callable[[], Line]


def measured(plan: Plan, processes: int, save: Callable[[list[Line]], None]) -> list[Line]:
    """The lines of all candidates and repairs, seed by seed; `save` hears of all lines whenever one is new.

    Interrupted, a second call goes on: what is trained, answered or finished is taken over.
    """
    lines: list[Line] = []
    for seed in plan.seeds:
        candidates = [partial(candidate_line, plan, way, seed) for way in plan.ways]
        mine: list[Line] = []
        for line in _run(candidates, processes, first_alone=not lines):
            mine.append(line)
            save([*lines, *mine])
        repairs = [partial(repair_line, plan, line) for line in to_repair(plan, mine)]
        for line in _run(repairs, processes, first_alone=False):
            mine.append(line)
            save([*lines, *mine])
        lines += mine
    return lines


def to_repair(plan: Plan, of_seed: Sequence[Line]) -> Iterator[Line]:
    """The candidate of each swept method whose suite fell most, of those that learned their target where any did."""
    for method in plan.swept:
        mine = [line for line in of_seed if line["method"] == method and not line["replay"] and not line["of"]]
        if mine:
            learned = [line for line in mine if line["learned"]]
            yield min(learned or mine, key=lambda line: line["suite"]["value"])


def candidate_line(plan: Plan, way: Way, seed: int) -> Line:
    """Train one candidate and compare it with its base, or take its line over where it was made alike."""
    torch.set_num_threads(1)
    recipe = plan.recipe(way, seed)
    name = Path(recipe.out).name
    facts: dict[str, Any] = {"name": name, "way": way.name, "method": way.method, "rate": way.rate, "seed": seed}
    facts |= {"replay": way.replay, "of": None, "lambda": None, "recipe": stable(recipe.to_json())}
    if (earlier := _earlier_line(plan, facts)) is not None:
        return earlier
    begun = time.monotonic()
    with Lines() as listener:
        path = make_candidate(recipe, plan.source, listener)
        trained = time.monotonic() - begun
        out = plan.folder / EVALUATIONS / name
        results = evalharness.evaluate(
            f"{name}={path}", plan.suite, listener=listener, out=out, **plan.evaluation_options()
        )
    line = lines.line_of(results.record, _digest(out), name, facts, plan.target)
    seconds = {"training": round(trained, 1), "all": round(time.monotonic() - begun, 1)}
    _base(plan).parent.mkdir(parents=True, exist_ok=True)
    write_text(_base(plan), json.dumps(lines.base_of(results.record, plan.target)))
    return _keep(plan, {**line, "cost": {**seconds, "processor": round(time.process_time(), 1)}})


def repair_line(plan: Plan, candidate: Line) -> Line:
    """Repair one candidate by the knee, and take its line from the half of the rows that chose nothing."""
    torch.set_num_threads(1)
    name = f"{candidate['name']}-repaired"
    facts = {key: candidate[key] for key in ("method", "rate", "seed", "replay")}
    facts |= {"name": name, "way": f"{candidate['way']}, repaired", "of": candidate["name"]}
    facts |= {"recipe": {"rule": "knee", "suite": plan.repair_suite, "candidate": candidate["fingerprint"]}}
    if (earlier := _earlier_line(plan, facts)) is not None:
        return earlier
    begun, out = time.monotonic(), plan.folder / "repairs" / candidate["name"]
    path = plan.folder / "candidates" / candidate["name"]
    with Lines() as listener:
        questions = plan.asked_of_repairs()
        repair = evalharness.repair(path, plan.repair_suite, rule="knee", listener=listener, out=out, **questions)
    cost = {"all": round(time.monotonic() - begun, 1)}
    facts |= {
        "lambda": repair.chosen,
        "points": [[each.scale, value_of(each.gain), value_of(each.suite)] for each in repair.points],
    }
    if repair.chosen is None:
        return _keep(plan, {**lines.sealed({**facts, "reason": repair.reason}), "cost": cost})
    results, digest = evalharness.load(out).record, _digest(out)
    line = lines.line_of(results, digest, name, facts, plan.target)
    before = lines.line_of(results, digest, candidate["name"], {}, plan.target)
    half = {key: before[key] for key in ("gain", "suite")}
    return _keep(plan, {**lines.sealed({**line, "before": half}), "run": digest, "cost": cost})


def stable(recipe: dict[str, Any]) -> dict[str, Any]:
    """The recipe without places."""
    return {
        key: value for key, value in recipe.items() if key not in ("base", "out", "save_every") and value is not None
    }


def head(plan: Plan) -> dict[str, Any]:
    """What the records say of the whole: the base, the target, and what was asked."""
    facts: dict[str, Any] = {"base": json.loads(_base(plan).read_text("utf-8")), "target": plan.target}
    first = next(iter(sorted((plan.folder / EVALUATIONS).glob(f"*/{RESULTS}"))))
    signature = json.loads(first.read_text("utf-8"))["signature"]
    facts |= {key: signature[key] for key in ("suite", "seed", "alpha", "packages")}
    facts["threads"] = signature["engine"].get("threads")
    keys = ("version", "definition", "data", "prompts", "examples")
    facts["tasks"] = {name: {key: task[key] for key in keys} for name, task in signature["tasks"].items()}
    return {**facts, "seeds": list(plan.seeds), "ways": [way.name for way in in_order(plan.ways)], "steps": plan.steps}


def _run(jobs: Sequence[Job], processes: int, first_alone: bool) -> Iterator[Line]:
    """The jobs' lines, in their order. The first one of all answers for the base, once for all."""
    if processes == 1 or len(jobs) < 2:
        yield from (job() for job in jobs)
        return
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        if first_alone:
            yield pool.submit(jobs[0]).result()
        rest = [pool.submit(job) for job in jobs[first_alone:]]
        try:
            yield from (future.result() for future in rest)
        finally:
            for future in rest:
                future.cancel()


def _base(plan: Plan) -> Path:
    return plan.folder / "base.json"


def _digest(out: Path) -> str:
    return str(json.loads((out / RESULTS).read_text("utf-8"))["digest"])


def _line_file(plan: Plan, name: str) -> Path:
    return plan.folder / "lines" / f"{name}.json"


def _question(plan: Plan) -> dict[str, Any]:
    """What decides beside a candidate's own facts, by content."""
    question = {"suite": plan.suite, "instead": str(sorted(plan.instead.items())), "target": plan.target}
    suites = {path.name: path.read_text("utf-8") for path in sorted(Path(__file__).parent.glob("tasks/*.yaml"))}
    return {
        "base": recognise(str(plan.base), role="base").fingerprint,
        **question,
        "suites": suites if plan.suite else {},
    }


def _earlier_line(plan: Plan, facts: dict[str, Any]) -> Line | None:
    """The line of an earlier call that was made and asked alike; None where there is none."""
    try:
        line = json.loads(_line_file(plan, facts["name"]).read_text("utf-8"))
        same = line["question"] == _question(plan)
        return line["line"] if same and line["line"]["recipe"] == lines.sealed(facts)["recipe"] else None
    except (OSError, ValueError, KeyError):
        return None


def _keep(plan: Plan, line: Line) -> Line:
    path = _line_file(plan, line["name"])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps({"question": _question(plan), "line": line}))
    return line
