"""Gather the texts on which drift (the distance of predictions to the base's) is measured.

They are neutral texts, the base's own outputs, and inputs of the target tasks (what the candidates were trained on).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import zip_longest

from evalharness.analysis.drift_forecast import OWN_MARGINS, OWN_QUESTIONS
from evalharness.data.drift_table import read_table, shipped_table
from evalharness.data.paragraphs import paragraphs
from evalharness.data.sources import missing
from evalharness.engines.base import EngineFactory, ModelTokenizers
from evalharness.errors import UsageError
from evalharness.paths import shipped
from evalharness.records.drift_table import TableCandidate
from evalharness.records.job import Job
from evalharness.records.models import Checkpoint
from evalharness.records.requests import Generate, PreparedTask, Rank, Request
from evalharness.records.tasks import OutputType, Suite, Task
from evalharness.run.plan import RunPlan
from evalharness.run.prompts import Prompts, make_prompts
from evalharness.tasks.library import Library

CORPUS = "neutral.txt"
MOST_TEXTS = 256  # paragraphs of a longer file are taken evenly from all of it
MOST_CHARACTERS = 2_000  # of a paragraph; more are cut off at a space
MOST_INPUTS = 64  # of a target, drawn with the job's seed
# for --drift-only, which should take a minute:
FEW_INPUTS = 24
FEW_WRITTEN = 8  # examples of a generative task that the base answers


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftSources:
    """The sources of the texts on which drift is measured.

    `neutral`: paragraphs that belong to no task. `generative`: requests of generative tasks, the first of every task,
    then the second …; their texts are the base's answers. `inputs`: target task -> prompts. `table`: candidates whose
    drift and loss are known, to forecast from.
    """

    neutral: tuple[str, ...] = ()
    generative: tuple[Generate, ...] = ()
    inputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    table: tuple[TableCandidate, ...] = ()


def neutral_texts(job: Job, run_plan: RunPlan) -> tuple[str, ...]:
    """Read the paragraphs on which drift is measured; return () if the job measures no drift. Raises UsageError,
    DataError.
    """
    if not job.description.measures_drift:
        return ()
    if not isinstance(run_plan.base, Checkpoint):
        raise UsageError(
            "--drift",
            "the base does not answer in this run: its scores are an earlier run's",
            "give --base instead of --baseline",
        )
    texts = paragraphs(job.description.drift_text or shipped("fixtures/drift") / CORPUS)
    if len(texts) > MOST_TEXTS:
        texts = [texts[i * len(texts) // MOST_TEXTS] for i in range(MOST_TEXTS)]
    return tuple(map(_shortened, texts))


def drift_sources(
    job: Job, run_plan: RunPlan, neutral: tuple[str, ...], prompts: Prompts, factory: EngineFactory | ModelTokenizers
) -> DriftSources:
    """Gather the texts of every kind. Return none if `neutral` is empty, because the job does not measure drift."""
    if not neutral:
        return DriftSources()
    base = run_plan.base.name
    own = [task for task in prompts.by_model[base] if not task.task.beside]
    if job.description.drift_only:
        generative = tuple(task.task for task in own if task.task.output_type == OutputType.GENERATE_UNTIL)
        few = replace(run_plan, tasks=generative, limit=FEW_WRITTEN, limits={})
        own = list(make_prompts(job, few, factory).by_model[base])
    targets = {candidate.target_task for candidate in run_plan.candidates}
    learned = [task for task in run_plan.judged_tasks if task.origin in targets]
    inputs = {task.origin: _inputs(job, run_plan, task, factory) for task in learned}
    by_task = [[each for each in task.requests if isinstance(each, Generate)] for task in own]
    in_turn = [request for turn in zip_longest(*by_task) for request in turn if request is not None]
    file = job.description.drift_table
    table = shipped_table() if file is None else read_table(file)
    return DriftSources(neutral=neutral, generative=tuple(in_turn), inputs=inputs, table=table)


def departures_from_suite(job: Job, run_plan: RunPlan) -> tuple[str, ...]:
    """List the points at which a run departs from its suite, for which a table of other candidates may not hold."""
    tasks, ways = job.tasks, []
    ways += ["other tasks"] * bool(tasks.names or _is_other(run_plan.suite))
    ways += ["other shots"] * (tasks.num_fewshot is not None)
    ways += ["another split"] * bool(tasks.split) + ["other wordings"] * bool(tasks.templates)
    ways += ["other rows"] * bool(job.data.overrides)
    ways += ["a chat template"] * bool(job.prompts.apply_chat_template)
    ways += ["quantised models"] * bool(run_plan.precision)
    margins = [OWN_MARGINS] * bool(job.statistics.margin or job.statistics.margins)
    return (*margins, *([OWN_QUESTIONS.format(", ".join(ways))] if ways else []))


def _is_other(suite: Suite | None) -> bool:
    """Return whether a suite has the name of a shipped one, but other tasks."""
    library = Library()
    return suite is not None and suite.name in library.suites() and suite.tasks != library.suite(suite.name).tasks


def tasks_to_answer(job: Job, run_plan: RunPlan, prompts: Prompts) -> tuple[RunPlan, Prompts]:
    """Take every task out of the plan of a job that measures drift alone; its suite keeps its name."""
    if not job.description.drift_only:
        return run_plan, prompts
    suite = replace(run_plan.suite, margins={}, average=None) if run_plan.suite else None
    nothing: dict[str, tuple[PreparedTask, ...]] = dict.fromkeys(prompts.by_model, ())
    bare = replace(run_plan, tasks=(), groups=(), computed={}, suite=suite, overlaps={}, notices=())
    return bare, replace(prompts, by_model=nothing)


def _inputs(job: Job, run_plan: RunPlan, task: Task, factory: EngineFactory | ModelTokenizers) -> tuple[str, ...]:
    """Draw prompts from the training rows of a target task (one that a candidate learned); if these are missing, from
    its validation or test rows. Labels are not used.
    """
    splits = dict.fromkeys(filter(None, (task.training_split, task.validation_split, task.evaluation_split)))
    split = next((name for name in splits if missing([task], run_plan.source, name) is None), run_plan.split)
    most = FEW_INPUTS if job.description.drift_only else MOST_INPUTS
    inputs_plan = replace(run_plan, tasks=(task,), split=split, limit=most, num_fewshot=0, limits={}, fewshots={})
    (prepared,) = make_prompts(job, inputs_plan, factory).by_model[run_plan.base.name]
    return tuple(dict.fromkeys(filter(None, map(_prompt, prepared.requests))))


def _prompt(request: Request) -> str:
    if isinstance(request, Generate):
        return request.prompt
    return request.pairs[0][0] if isinstance(request, Rank) else ""


def _shortened(text: str) -> str:
    if len(text) <= MOST_CHARACTERS:
        return text
    return text[:MOST_CHARACTERS].rpartition(" ")[0] or text[:MOST_CHARACTERS]
