"""Use a base's scores from an earlier run or a baseline file instead of running the base again.

Its prompts, engine and metrics must be the same as this run's, which is checked here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evalharness import fingerprint, results
from evalharness.errors import NotComparableError, UsageError
from evalharness.metrics.build import build, facts_of
from evalharness.records.answers import AnswerCounts
from evalharness.records.measurements import Measurement, TaskOutcome
from evalharness.records.models import EngineInfo, engine_differences
from evalharness.records.probe_answers import ProbeAnswers
from evalharness.records.requests import PreparedTask
from evalharness.records.results import ModelRow

MIXED = "mixed_engines"  # key of a signature: models that another engine answered for, with that engine
AGAIN = "evaluate the base again with this evalharness, engine and task files, or give --base instead"


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineTask:
    """A base's measurements on one task, with digests of what was measured.

    `definition`: digest of the task file. `data`: of the rows. `prompts`: of the prompts. `questions`: of the examples'
    ids, which do not depend on the prompts (in a baseline file: of the units' ids). `metrics`: each metric's signature,
    by id. `measurements`: by metric. `unparsed`, `failed`: numbers of answers. `answers`: counts of unusual answers;
    None: not counted. `stopped`: the task was stopped early, before all examples were asked.
    """

    definition: str
    data: str
    prompts: str
    questions: str
    metrics: Mapping[str, str]
    measurements: Mapping[str, Measurement]
    unparsed: int = 0
    answers: AnswerCounts | None = None
    failed: int = 0
    stopped: bool = False  # early, so that some examples were not asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """A base that was measured before, with its scores by task.

    `path`: of the run or file. `row`: the base as results list it. `engine`: the engine that answered, with its
    fingerprint. `template`: fingerprint of the chat template; None: none was used. `packed`: digest of the baseline
    file that holds the scores, whose digests are short and whose rows lack the units' ids; "": the scores are a run's.
    `probes`: the base's answers to probes; None: not recorded.
    """

    path: Path  # the run's folder, its measurements.parquet, or the baseline file
    row: ModelRow
    engine: Mapping[str, Any]  # signature of what answered
    tasks: Mapping[str, BaselineTask]
    template: str | None  # fingerprint of the chat template of its prompts
    packed: str = ""
    probes: ProbeAnswers | None = None  # of a model behind a server

    @property
    def name(self) -> str:
        return self.row.name

    def asked_the_same(self, prepared: PreparedTask) -> bool:
        """Return whether the base answered the same examples of a task, with these or with other prompts."""
        task = self.tasks.get(prepared.task.name)
        return task is not None and fingerprint.agree(
            task.questions, units_digest(*units_of(prepared)) if self.packed else questions_digest(prepared)
        )


def questions_digest(prepared: PreparedTask) -> str:
    """Return a digest of the examples' ids. It is equal if examples can be paired, even if their prompts differ."""
    return fingerprint.of_value([example.id for example in prepared.examples])


def units_of(prepared: PreparedTask) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the units of a task, in the order of the measurements' rows, and the number of examples in each."""
    sizes = Counter(example.unit for example in prepared.examples)
    return tuple(sizes), tuple(sizes.values())


def units_digest(units: Sequence[str], sizes: Sequence[int]) -> str:
    """Return the digest of units and their sizes, in this order."""
    return fingerprint.of_value([list(units), list(sizes)])


def read_baseline(path: Path) -> Baseline:
    """Read the base of the run at `path`. Raises UsageError if it cannot be read."""
    run = results.read_measurements(path)
    name, tasks = run.plan.base, run.signature["tasks"]
    row = next((model for model in run.models if model.name == name), None)
    if row is None:
        raise UsageError(path, "does not say whose scores these are", "name the folder of a finished run")
    of_base = [m for m in run.measurements if m.model == name]
    return Baseline(
        path=path,
        row=replace(row, base=None),
        probes=results.read_probes(path, row.fingerprint),
        engine=(run.signature.get(MIXED) or {}).get(name) or run.signature["engine"],
        tasks={
            fact.name: BaselineTask(
                definition=tasks[fact.name]["definition"],
                data=fact.data_digest,
                prompts=fact.prompts_digest,
                questions=str(tasks[fact.name].get("questions")),
                metrics={metric.id: metric.signature for metric in fact.metrics},
                measurements={m.metric: m for m in of_base if m.task == fact.name},
                unparsed=fact.unparsed.get(name, 0),
                answers=fact.answers.get(name),
                failed=fact.failed.get(name, 0),
                stopped=name in fact.rounds,
            )
            for fact in run.facts
        },
        template=(run.signature.get("chat") or {}).get("templates", {}).get(name),
    )


def check_engine(baseline: Baseline, fingerprint_here: str, signature: Mapping[str, Any]) -> None:
    """Check that the base's answers came from this engine. Raises NotComparableError."""
    if baseline.engine["fingerprint"] != fingerprint_here:
        differ = engine_differences(baseline.engine, signature) or "what differs is not recorded"
        raise NotComparableError(baseline.path, f"the base was answered by another engine ({differ})", AGAIN)


def baseline_outcomes(
    baseline: Baseline, prepared: Sequence[PreparedTask], info: EngineInfo, mixed: bool = False
) -> list[TaskOutcome]:
    """Return the base's measurements in the order of `prepared`, with its samples if the run's folder has them.

    `mixed`: allow that another engine answered. Raises NotComparableError if the base got other prompts, another engine
    answered, or it did not answer everything.
    """
    if not mixed:
        check_engine(baseline, info.fingerprint, info.signature)
    return [_of_task(baseline, task) for task in prepared]


def _of_task(baseline: Baseline, prepared: PreparedTask) -> TaskOutcome:
    name = prepared.task.name
    task = checked_task(baseline, prepared)
    samples = results.read_samples(baseline.path, name, baseline.name) if baseline.path.is_dir() else []
    scores = [task.measurements[spec.id] for spec in prepared.task.metrics]
    if baseline.packed:
        units, sizes = units_of(prepared)
        scores = [replace(each, units=units, sizes=sizes) for each in scores]
    return TaskOutcome(
        measurements=tuple(scores), samples=tuple(samples), errors=(), unparsed=task.unparsed, answers=task.answers
    )


def checked_task(baseline: Baseline, prepared: PreparedTask) -> BaselineTask:
    """Return the base's measurements on a task. Raises NotComparableError if its prompts or its scoring differ."""
    name, where = prepared.task.name, f"{baseline.path}: {prepared.task.name}"
    task = baseline.tasks.get(name)
    if task is None:
        raise NotComparableError(where, "the base was not evaluated on this task", AGAIN)
    if not fingerprint.agree(task.prompts, prepared.prompts_digest):
        what = "not the same prompts (task file, data, shots, limit, seed or window differ)"
        if not fingerprint.agree(task.data, prepared.data_digest):
            what = "not the same data, and so not the same prompts"
        raise NotComparableError(where, what, AGAIN)
    if baseline.packed and not baseline.asked_the_same(prepared):
        raise NotComparableError(where, "not the same questions", AGAIN)
    if task.stopped:
        raise NotComparableError(where, "the base was not asked all of it there (it was stopped early)", AGAIN)
    if task.failed:
        raise NotComparableError(where, f"the base failed on {task.failed} examples", AGAIN)
    signatures = {spec.id: facts_of(spec, build(spec), prepared.examples).signature for spec in prepared.task.metrics}
    if any(task.metrics.get(metric) != signature for metric, signature in signatures.items()):
        raise NotComparableError(where, "the base was scored by other metrics, or other versions of them", AGAIN)
    if not fingerprint.agree(task.definition, prepared.task.digest):
        raise NotComparableError(where, "the base was scored by another version of the task file", AGAIN)
    absent = [spec.id for spec in prepared.task.metrics if spec.id not in task.measurements]
    if absent:
        raise NotComparableError(where, f"the base was not scored by {', '.join(absent)}", AGAIN)
    return task
