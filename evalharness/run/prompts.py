"""A run_plan to prompts: who is asked plainly and who by a chat template, and every task prepared once for each way of
being asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from evalharness import fingerprint
from evalharness.analysis.baseline import Baseline
from evalharness.engines.base import EngineFactory, ModelTokenizers
from evalharness.errors import ModelError, NotComparableError, UsageError
from evalharness.records.job import Job, PromptOptions
from evalharness.records.models import Architecture, Checkpoint
from evalharness.records.requests import PreparedTask
from evalharness.records.tasks import OutputType, Task
from evalharness.records.tokenizers import ChatRenderer, TokenCounter
from evalharness.run.plan import RunPlan
from evalharness.tasks.prepare import PromptSettings, prepare
from evalharness.tasks.turns import Chat

TEMPLATES, MISMATCH = "--apply-chat-template", "--chat-template-mismatch"
WHO = {False: False, None: False, True: "all", "all": "all", "candidates": "candidates"}

Renderers = Mapping[str, ChatRenderer | None]  # by model; None: asked plainly


@dataclass(frozen=True, slots=True)
class Prompts:
    """Every task prepared, by model. `templates`: the fingerprint of the chat template by which a model is asked, None
    where plainly.
    """

    by_model: Mapping[str, tuple[PreparedTask, ...]]
    templates: Mapping[str, str | None]
    notices: tuple[str, ...] = ()

    def differing(self, base: str) -> list[dict[str, str]]:
        """Task by task, the digests of the prompts that are not the base's: model to digest."""
        digests = {model: [task.prompts_digest for task in prepared] for model, prepared in self.by_model.items()}
        own = digests[base]
        return [{model: found[i] for model, found in digests.items() if found[i] != own[i]} for i in range(len(own))]


def questions(prepared: PreparedTask) -> str:
    """Digest of what is asked, in whatever form: equal where examples can be paired."""
    return fingerprint.of_value([example.id for example in prepared.examples])


def make_prompts(job: Job, run_plan: RunPlan, factory: EngineFactory | ModelTokenizers) -> Prompts:
    """Every task's prompts, made once for all models that are asked alike, within the smallest of the windows; nothing
    is cut where the factory has no tokenizers.

    Raises DataError, TaskError; UsageError and ModelError where a template that is asked for cannot be had;
    NotComparableError where base and candidates would be asked by different ones and the job does not allow it.
    """
    _check_options(job.prompts)
    tokenizers = factory if isinstance(factory, ModelTokenizers) else None
    renderers = _renderers(job, run_plan, tokenizers)
    notices = _deafness(job, run_plan, renderers)
    windows = [c.window - c.virtual_tokens for c in run_plan.checkpoints if c.window is not None]
    budget = min(windows, default=None)
    count = _strictest([tokenizers.token_counter(c) for c in run_plan.checkpoints]) if tokenizers else None
    multiturn, system = job.prompts.fewshot_as_multiturn is not False, job.prompts.system_instruction or ""
    apart = all(checkpoint.architecture == Architecture.SEQ2SEQ for checkpoint in run_plan.checkpoints)

    def prepared(task: Task, renderer: ChatRenderer | None) -> PreparedTask:
        chat = None if renderer is None else Chat(renderer, multiturn)
        shots, limit = run_plan.shots_of(task), run_plan.limit_of(task)
        asking = PromptSettings(
            shots,
            limit,
            job.statistics.seed,
            run_plan.split,
            budget,
            count,
            system,
            chat,
            bool(WHO[job.prompts.apply_chat_template]),
            apart,
        )
        return prepare(task, run_plan.source, asking)

    ways = {_name(renderer): renderer for renderer in renderers.values()}
    made = {name: tuple(prepared(task, renderer) for task in run_plan.tasks) for name, renderer in ways.items()}
    by_model = {model: made[_name(renderer)] for model, renderer in renderers.items()}
    templates = {model: _name(renderer) for model, renderer in renderers.items()}
    if isinstance(run_plan.base, Baseline):
        by_model = {run_plan.base.name: _asked_before(run_plan.base, list(made.values())), **by_model}
        templates = {run_plan.base.name: run_plan.base.template, **templates}
    prompts = Prompts(by_model, templates, notices)
    if job.prompts.chat_template_mismatch == "refuse":
        _check_alike(prompts, run_plan)
    return prompts


def _check_options(options: PromptOptions) -> None:
    if options.apply_chat_template not in WHO:
        raise UsageError(
            TEMPLATES,
            f"{options.apply_chat_template!r} is not whom to ask by a template",
            "all or candidates would be right",
        )
    if options.chat_template_mismatch not in ("refuse", "allow"):
        raise UsageError(MISMATCH, f"{options.chat_template_mismatch!r} is no answer", "refuse or allow would be right")
    if options.fewshot_as_multiturn and not WHO[options.apply_chat_template]:
        raise UsageError(
            "--fewshot-as-multiturn",
            "there are no turns without a chat template",
            f"give {TEMPLATES} as well, or leave it out",
        )


def _renderers(job: Job, run_plan: RunPlan, tokenizers: ModelTokenizers | None) -> Renderers:
    """How each model is asked that has to answer. Raises UsageError, ModelError."""
    who = WHO[job.prompts.apply_chat_template]
    asked = run_plan.checkpoints if who == "all" else run_plan.candidates if who else ()
    renderers: dict[str, ChatRenderer | None] = {checkpoint.name: None for checkpoint in run_plan.checkpoints}
    if asked and tokenizers is None:
        what = f"the engine {job.engine.name} does not have its models' chat templates"
        raise UsageError(TEMPLATES, what, "leave it out, or answer with another --engine")
    for checkpoint in asked:
        assert tokenizers is not None
        renderers[checkpoint.name] = _template_of(checkpoint, run_plan, tokenizers)
    return renderers


def _check_alike(prompts: Prompts, run_plan: RunPlan) -> None:
    """Templates may differ where the prompts that they make do not. Raises NotComparableError naming both models."""
    base = run_plan.base.name
    for task, others in zip(run_plan.tasks, prompts.differing(base), strict=True):
        for model in others:
            asked, before = _how(prompts.templates[model]), _how(prompts.templates[base])
            what = f"not asked as its base: {model} {asked}, {base} {before}, so that other prompts of {task.name} came out"
            raise NotComparableError(
                "prompts", what, f"give both one template, or compare them as they are with {MISMATCH} allow"
            )


def _how(template: str | None) -> str:
    """Words for the way in which a model is asked."""
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
        raise ModelError(checkpoint.name, f"its tokenizer ({checkpoint.path}) has no chat template", fix)
    return renderer


def _deafness(job: Job, run_plan: RunPlan, renderers: Renderers) -> tuple[str, ...]:
    """What the templates that have no place for the system leave out. Raises UsageError where that was asked for by
    name.
    """
    deaf = [name for name, renderer in renderers.items() if renderer is not None and not renderer.takes_system]
    described = [
        task.name
        for task in run_plan.tasks
        if task.description and task.output_type != OutputType.LOGLIKELIHOOD_ROLLING
    ]
    if deaf and job.prompts.system_instruction:
        what = f"the chat template of {deaf[0]} has no place for what the system says"
        raise UsageError("--system-instruction", what, "leave it out, or mend the template")
    if not (deaf and described):
        return ()
    named = ", ".join(described[:3]) + (f" and {len(described) - 3} more" if len(described) > 3 else "")
    return (
        f"{', '.join(deaf)}: the chat template has no place for what the system says; left out, as lm-eval does: the description of {named}",
    )


def _asked_before(baseline: Baseline, made: Sequence[tuple[PreparedTask, ...]]) -> tuple[PreparedTask, ...]:
    """What the base of an earlier run was asked: the very prompts of a candidate, or the same questions in another
    form.

    Where it was neither, a candidate's prompts: those are not what it was asked, which is found when its scores are
    taken over.
    """
    found = []
    for alike in zip(*made, strict=True):
        name = alike[0].task.name
        before = baseline.facts[name].prompts_digest if name in baseline.facts else ""
        prepared = next((each for each in alike if each.prompts_digest == before), alike[0])
        same_questions = baseline.questions.get(name) == questions(prepared)
        found.append(replace(prepared, prompts_digest=before) if same_questions else prepared)
    return tuple(found)


def _name(renderer: ChatRenderer | None) -> str | None:
    return None if renderer is None else renderer.fingerprint


def _strictest(counters: Sequence[TokenCounter]) -> Callable[[str], int]:
    """A count no smaller than any model's own; counters that are equal (one tokenizer for all, as usual) are asked
    once.
    """
    distinct = list(dict.fromkeys(counters))
    return lambda text: max(count(text) for count in distinct)
