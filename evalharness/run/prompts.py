"""Make the prompts of a plan: every task once for each chat template, and once for models without one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from evalharness import fingerprint
from evalharness.analysis.baseline import Baseline
from evalharness.engines.base import EngineFactory, ModelTokenizers
from evalharness.errors import DataError, ModelError, NotComparableError, UsageError, some_of
from evalharness.interruption import stop_if_interrupted
from evalharness.records.job import Job, PromptOptions
from evalharness.records.models import Architecture, Checkpoint
from evalharness.records.requests import PreparedTask
from evalharness.records.tasks import OutputType, Task
from evalharness.records.tokenizers import ChatRenderer, TokenCounter, TokenSplitter
from evalharness.run.plan import RunPlan
from evalharness.tasks.prepare import PromptSettings, prepare
from evalharness.tasks.turns import Chat

TEMPLATES, MISMATCH = "--apply-chat-template", "--chat-template-mismatch"
WHO = {False: False, None: False, True: "all", "all": "all", "candidates": "candidates"}

Renderers = Mapping[str, ChatRenderer | None]  # by model; None: asked plainly


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompts:
    """Every prepared task, by model. `templates`: model -> the fingerprint of the chat template with which it is asked,
    None for plain prompts. `notices`: about rows and templates, for the user.
    """

    by_model: Mapping[str, tuple[PreparedTask, ...]]
    templates: Mapping[str, str | None]
    notices: tuple[str, ...] = ()

    def differing(self, base: str) -> list[dict[str, str]]:
        """List for each task the models whose prompts differ from the base's, with their digests."""
        digests = {model: [task.prompts_digest for task in prepared] for model, prepared in self.by_model.items()}
        own = digests[base]
        return [{model: theirs[i] for model, theirs in digests.items() if theirs[i] != own[i]} for i in range(len(own))]


def make_prompts(job: Job, run_plan: RunPlan, factory: EngineFactory | ModelTokenizers) -> Prompts:
    """Make every task's prompts, once for all models with the same template, within the smallest context window.

    If the factory has no tokenizers, nothing is cut. A row that does not fit with one of the templates is left out for
    all models.

    Raises DataError, TaskError; UsageError and ModelError if a requested template is missing; NotComparableError if
    base and candidates have different templates and the job does not allow it.
    """
    _check_options(job.prompts)
    tokenizers = factory if isinstance(factory, ModelTokenizers) else None
    renderers = _renderers(job, run_plan, factory)
    counted = {c.name: tokenizers.token_counter(c) for c in run_plan.checkpoints} if tokenizers else {}
    counters = {name: counter for name, counter in counted.items() if counter is not None}
    settings, notices = _settings(job, run_plan, list(counters.values())), _left_out(job, run_plan, renderers)

    def prepared(task: Task, renderer: ChatRenderer | None, without: frozenset[str] = frozenset()) -> PreparedTask:
        stop_if_interrupted()
        chat = None if renderer is None else Chat(renderer, job.prompts.fewshot_as_multiturn is not False)
        shots, limit = run_plan.shots_of(task), run_plan.limit_of(task)
        asking = replace(settings, num_fewshot=shots, limit=limit, chat=chat, without=without)
        return prepare(task, run_plan.source, asking)

    ways = {_name(renderer): renderer for renderer in renderers.values()}
    by_way = {name: tuple(prepared(task, renderer) for task in run_plan.tasks) for name, renderer in ways.items()}
    for name, of_way in by_way.items():
        again = partial(prepared, renderer=ways[name])
        by_way[name] = tuple(map(partial(_without, again), of_way, _left_out_of_any(by_way)))
    short = tuple(_too_long(next(iter(by_way.values())), settings.budget))
    by_model = {model: by_way[_name(renderer)] for model, renderer in renderers.items()}
    templates = {model: _name(renderer) for model, renderer in renderers.items()}
    if isinstance(run_plan.base, Baseline):
        by_model = {run_plan.base.name: _prompts_before(run_plan.base, list(by_way.values())), **by_model}
        templates = {run_plan.base.name: run_plan.base.template, **templates}
    split = _split_otherwise(run_plan.base.name, by_model, counters)
    prompts = Prompts(by_model=by_model, templates=templates, notices=(*notices, *short, *split))
    if job.prompts.chat_template_mismatch == "refuse":
        _check_alike(prompts, run_plan)
    return prompts


def _settings(job: Job, run_plan: RunPlan, counters: Sequence[TokenCounter]) -> PromptSettings:
    """Make the prompt settings that all tasks and models share."""
    models = run_plan.checkpoints
    return PromptSettings(
        seed=job.statistics.seed,
        split=run_plan.split,
        budget=min((c.window - c.virtual_tokens for c in models if c.window is not None), default=None),
        count=_strictest(counters) if counters else None,
        system=job.prompts.system_instruction or "",
        whole_ids=bool(WHO[job.prompts.apply_chat_template]),
        apart=all(checkpoint.architecture == Architecture.SEQ2SEQ for checkpoint in models),
    )


def _check_options(options: PromptOptions) -> None:
    if options.fewshot_as_multiturn and not WHO[options.apply_chat_template]:
        raise UsageError(
            "--fewshot-as-multiturn",
            "there are no turns without a chat template",
            f"give {TEMPLATES} as well, or leave it out",
        )


def _renderers(job: Job, run_plan: RunPlan, factory: EngineFactory | ModelTokenizers) -> Renderers:
    """Find the chat template of each model that answers, None for plain prompts. Raises UsageError, ModelError."""
    who = WHO[job.prompts.apply_chat_template]
    with_template = run_plan.checkpoints if who == "all" else run_plan.candidates if who else ()
    renderers: dict[str, ChatRenderer | None] = {checkpoint.name: None for checkpoint in run_plan.checkpoints}
    for checkpoint in with_template:
        if not isinstance(factory, ModelTokenizers):
            what = (
                f"the engine {factory.describe(checkpoint, job.engine).name} does not have its models' chat templates"
            )
            raise UsageError(TEMPLATES, what, "leave it out, or answer with another --engine")
        renderers[checkpoint.name] = _template_of(checkpoint, run_plan, factory)
    return renderers


def _check_alike(prompts: Prompts, run_plan: RunPlan) -> None:
    """Check that the candidates' prompts are the base's, also with other templates. Raises NotComparableError."""
    base = run_plan.base.name
    for task, others in zip(run_plan.tasks, prompts.differing(base), strict=True):
        for model in others:
            both = f"{model} {_how(prompts.templates[model])}, {base} {_how(prompts.templates[base])}"
            what = f"not asked as its base: {both}, so that other prompts of {task.name} came out"
            fix = f"give both one template, or compare them as they are with {MISMATCH} allow"
            raise NotComparableError("prompts", what, fix)


def _how(template: str | None) -> str:
    """Say in words how a model is asked."""
    return "plainly" if template is None else f"by chat template {template[:8]}"


def _template_of(checkpoint: Checkpoint, run_plan: RunPlan, tokenizers: ModelTokenizers) -> ChatRenderer:
    renderer = tokenizers.chat_renderer(checkpoint)
    if renderer is None:
        alone = (
            f", or ask the candidates alone by theirs ({TEMPLATES}=candidates {MISMATCH} allow)"
            if checkpoint is run_plan.base
            else ""
        )
        fix = f"save one beside its tokenizer (chat_template.jinja), or leave {TEMPLATES} out{alone}"
        raise ModelError(checkpoint.name, f"its tokenizer ({checkpoint.place}) has no chat template", fix)
    return renderer


def _left_out(job: Job, run_plan: RunPlan, renderers: Renderers) -> tuple[str, ...]:
    """Return a notice if a chat template without a system message drops the tasks' descriptions. Raises UsageError if
    it would drop the user's system instruction.
    """
    without_system = [
        name for name, renderer in renderers.items() if renderer is not None and not renderer.takes_system
    ]
    described = [
        task.name
        for task in run_plan.tasks
        if task.description and task.output_type != OutputType.LOGLIKELIHOOD_ROLLING
    ]
    if without_system and job.prompts.system_instruction:
        what = f"the chat template of {without_system[0]} has no system message"
        raise UsageError("--system-instruction", what, "leave it out, or mend the template")
    if not (without_system and described):
        return ()
    what = f"{', '.join(without_system)}: the chat template has no system message"
    return (f"{what}; left out, as lm-eval does: the description of {some_of(described, 3)}",)


def _left_out_of_any(by_way: Mapping[str | None, Sequence[PreparedTask]]) -> Iterator[frozenset[str]]:
    """Yield for each task the rows that do not fit with at least one of the templates."""
    for alike in zip(*by_way.values(), strict=True):
        yield frozenset(example for prepared in alike for example in prepared.left_out)


def _without(again: Callable[..., PreparedTask], prepared: PreparedTask, without: frozenset[str]) -> PreparedTask:
    """Prepare a task again if more of its rows must be left out."""
    return prepared if without == frozenset(prepared.left_out) else again(prepared.task, without=without)


def _too_long(prepared: Sequence[PreparedTask], budget: int | None) -> Iterator[str]:
    """Yield a notice for each task with rows that do not fit. Raises DataError if no row fits."""
    for task in prepared:
        rows = len(task.left_out) + len(task.examples) + len(task.failures)
        what = f"of its {rows} rows fit into {budget} tokens, the smallest window here"
        if task.left_out and not task.examples:
            fix = f"a model with a longer window, or tasks without {task.task.name}, would be right"
            raise DataError(task.task.name, f"none {what}", fix)
        if task.left_out:
            yield f"{task.task.name}: {len(task.examples)} {what}; no model is asked the others"


def _prompts_before(baseline: Baseline, ways: Sequence[tuple[PreparedTask, ...]]) -> tuple[PreparedTask, ...]:
    """Find the prompts that the base of an earlier run was asked: a candidate's own, or the same questions in another
    form.

    If there are none, return a candidate's prompts; the difference is reported when the base's scores are read.
    """
    prompts = []
    for alike in zip(*ways, strict=True):
        name = alike[0].task.name
        before = baseline.tasks[name].prompts if name in baseline.tasks else ""
        prepared = next((each for each in alike if fingerprint.agree(each.prompts_digest, before)), alike[0])
        otherwise = baseline.asked_the_same(prepared) and not fingerprint.agree(prepared.prompts_digest, before)
        prompts.append(replace(prepared, prompts_digest=before) if otherwise else prepared)
    return tuple(prompts)


def _split_otherwise(
    base: str, by_model: Mapping[str, Sequence[PreparedTask]], counters: Mapping[str, TokenCounter]
) -> Iterator[str]:
    """Yield a notice for each candidate whose tokenizer splits common prompts into other tokens than the base's."""
    for name, counter in counters.items():
        reference = counters.get(base, counter)
        if counter == reference or not (isinstance(counter, TokenSplitter) and isinstance(reference, TokenSplitter)):
            continue
        texts = _texts(by_model[base]) & _texts(by_model[name])
        different = sum(counter.token_ids(text) != reference.token_ids(text) for text in texts)
        if different:
            yield f"{name}: its tokenizer splits {different:,} of {len(texts):,} prompts otherwise than its base's"


def _texts(prepared: Sequence[PreparedTask]) -> set[str]:
    return {example.prompt or " ".join(example.references) for task in prepared for example in task.examples}


def _name(renderer: ChatRenderer | None) -> str | None:
    return None if renderer is None else renderer.fingerprint


def _strictest(counters: Sequence[TokenCounter]) -> Callable[[str], int]:
    """Make a counter that returns the largest count of all models; equal counters (usually all) are called once."""
    distinct = list(dict.fromkeys(counters))
    return lambda text: max(count(text) for count in distinct)
