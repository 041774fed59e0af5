"""Read HELM's run folders: the statistics that it logged of every instance, never an answer scored again.

Statistics that count tokens, costs and the like are no scores. An instance that was asked with several choices of
solved examples (num_train_trials) is one unit. Splits are tasks of their own, as HELM scores them one by one; perturbed
instances repeat others and are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from evalharness.data.files import kind, plain
from evalharness.errors import DataError
from evalharness.imports.guessing import guessing
from evalharness.imports.helm_files import (
    AGAIN,
    STATS,
    HelmRun,
    Object,
    TrialKey,
    read_run,
    read_states,
    read_statistics,
    run_folders,
)
from evalharness.imports.identities import Identities
from evalharness.imports.logged import Answer, AnswerTexts, LoggedTask, MetricStatement, ModelLog, is_score, one_model
from evalharness.tasks.answer_counts import ReadAnswer, picked
from evalharness.tasks.library import Library

RERUN = "run helm-run again, which leaves per_instance_stats.json and scenario_state.json"
NO_SCORES = ("num_", "training_", "inference_", "finish_reason_", "estimated_", "cost_", "runtime_")  # beginnings
NO_SCORE = ("batch_size", "prompt_truncated", "max_prob", "logprob", "predicted_index")
MATCHES = ("exact_match", "quasi_exact_match", "prefix_exact_match", "quasi_prefix_exact_match")
OVERLAPS = ("f1_score", "rouge_1", "rouge_2", "rouge_l", "bleu_1", "bleu_4")  # 0 where no word is shared
SETTINGS = ("method", "max_train_instances", "num_train_trials", "temperature", "max_tokens", "instructions")
PLAIN_SPLIT = "test"
PROMPTS = ("prompt", "messages", "multimodal_prompt")  # of a request, which has one of them


class _Asked(NamedTuple):
    """What was asked of one instance in one trial. `right`: places of the right ones among the references; `given`: the
    text that was completed; `mapping`: letter -> reference, where it was to name one.
    """

    prompts: list[Any]
    references: list[str]
    right: list[int]
    given: str
    mapping: dict[str, str]
    split: str


def is_log(path: Path) -> bool:
    """Is it a run folder of HELM, or a folder that holds some?"""
    return bool(run_folders(path))


def read(path: Path, name: str, _library: Library | None = None, model: str = "") -> ModelLog:
    """Read every run of the `model`, which need not be named where there is only one.

    Raises UsageError where several models lie there, DataError for what is damaged or missing.
    """
    runs = [read_run(folder) for folder in run_folders(path)]
    models = sorted({run.model for run in runs})
    chosen = one_model(path, models, model, "run", "runs")
    own = [run for run in runs if run.model == chosen]
    notices: list[str] = []
    tasks: dict[str, LoggedTask] = {}
    for run in own:
        for task in _tasks(run, notices):
            if task.name in tasks:
                raise DataError(run.folder, f"{task.name} comes twice", "leave one of the two runs out")
            tasks[task.name] = task
    settings = {key: plain(own[-1].adapter.get(key)) for key in SETTINGS}
    return ModelLog(name=name, path=str(path), tasks=tasks, settings=settings, notices=tuple(notices))


def _tasks(run: HelmRun, notices: list[str]) -> Iterator[LoggedTask]:
    """Read the tasks of one run: one for each split."""
    file, states = read_states(run)
    statistics = read_statistics(run)
    perturbed = sum(bool(key.perturbation) for key in states)
    if perturbed:
        notices.append(f"{run.folder}: {perturbed} perturbed instances are left out")
    if strange := next((key for key in statistics if key not in states), None):
        raise DataError(run.folder / STATS, f"holds {strange.instance}, which {file.name} does not", AGAIN)
    asked = {key: _asked(file, of, statistics.get(key, ())) for key, of in states.items() if not key.perturbation}
    if not asked:
        raise DataError(file, "no instances that are not perturbed", RERUN)
    for split in dict.fromkeys(each.split for each in asked.values()):
        own = {key: each for key, each in asked.items() if each.split == split}
        name = run.task if split == PLAIN_SPLIT else f"{run.task}{',' if ':' in run.task else ':'}split={split}"
        yield _task(name, run, own, statistics, notices)


def _asked(file: Path, states: Sequence[Object], statistics: Sequence[Object]) -> _Asked:
    """Read what was asked, and the completion; where every choice was a request, the one that HELM took."""
    instance = states[0]["instance"]
    references, right = _references(file, instance)
    prompts = []
    for state in states:
        request = state.get("request")
        kinds = [request.get(name) for name in PROMPTS] if isinstance(request, dict) else []
        prompt = next(filter(None, kinds), None)
        if not isinstance(prompt, str | list | dict):
            raise DataError(file, f"no prompt of {instance.get('id')}", AGAIN)
        prompts.append(prompt)
    given = _completion(states[0])
    if len(states) > 1:
        taken = next((stat.get("mean") for stat in statistics if _name(stat) == "predicted_index"), None)
        given = next((text for place, text in enumerate(references) if place == taken), "")
    mapping = states[0].get("output_mapping")
    mapping = {str(key): str(value) for key, value in mapping.items()} if isinstance(mapping, dict) else {}
    return _Asked(prompts, references, right, given, mapping, str(instance.get("split") or PLAIN_SPLIT))


def _shown(prompt: Any) -> str:
    """Return the text of a prompt, or of the messages that make it."""
    if not isinstance(prompt, list):
        return prompt if isinstance(prompt, str) else ""
    messages = [message for message in prompt if isinstance(message, dict)]
    return "\n\n".join(f"{message.get('role')}: {message.get('content')}" for message in messages)


def _references(file: Path, instance: Object) -> tuple[list[str], list[int]]:
    references = instance.get("references")
    texts, right = [], []
    for place, reference in enumerate(references if isinstance(references, list) else ()):
        output = reference.get("output") if isinstance(reference, dict) else None
        tags = reference.get("tags") if isinstance(reference, dict) else None
        if not isinstance(output, dict) or not isinstance(output.get("text"), str) or not isinstance(tags, list):
            raise DataError(file, f"the references of {instance.get('id')} are not HELM's", AGAIN)
        texts.append(output["text"])
        right += [place] if "correct" in tags else []
    return texts, right


def _completion(state: Object) -> str:
    result = state.get("result")
    completions = result.get("completions") if isinstance(result, dict) else None
    first = completions[0] if isinstance(completions, list) and completions else None
    text = first.get("text") if isinstance(first, dict) else None
    return text if isinstance(text, str) else ""


def _task(
    name: str, run: HelmRun, asked: dict[TrialKey, _Asked], statistics: dict[TrialKey, list[Object]], notices: list[str]
) -> LoggedTask:
    """Read one task's answers by metric. Raises DataError where it has none."""
    answers: dict[str, list[Answer]] = {}
    texts: dict[str, AnswerTexts] = {}
    identities, failed = Identities(), 0
    for key, each in asked.items():
        gold = [each.references[place] for place in each.right]
        identity, document, content = identities.of(key.instance, each.prompts, gold, each.references)
        scores = dict(_scores(run.folder / STATS, key, statistics.get(key, ())))
        failed += not scores
        texts[identity] = AnswerTexts(_shown(each.prompts[0]), each.given, " | ".join(gold))
        for metric, value in scores.items():
            answers.setdefault(metric, []).append(Answer(identity, document, document, value, content))
    if failed:
        notices.append(f"{run.folder}: {failed} of {len(asked)} instances got no score")
    if not answers:
        raise DataError(run.folder / STATS, "no scored instances", RERUN)
    choice = str(run.adapter.get("method")).startswith("multiple_choice")
    chance = guessing(
        [len(each.references) * choice for each in asked.values()], [text.gold for text in texts.values()]
    )
    return LoggedTask(
        name=name,
        answers={metric: tuple(of) for metric, of in answers.items()},
        stated={metric: _stated(metric, chance) for metric in answers},
        read={"none": tuple(given for each in asked.values() if (given := _read(each)) is not None)},
        texts=texts,
        failed=failed,
    )


def _name(stat: Object) -> str:
    name = stat.get("name")
    return str(name.get("name")) if isinstance(name, dict) else ""


def _scores(file: Path, key: TrialKey, statistics: Sequence[Object]) -> Iterator[tuple[str, float]]:
    """Yield the scores of one instance. Raises DataError for a statistic that is none or comes twice."""
    seen: set[str] = set()
    for stat in statistics:
        name, mean = _name(stat), stat.get("mean")
        if not name or not isinstance(mean, int | float | None):
            raise DataError(file, f"a statistic of {key.instance} is not HELM's (mean is {kind(mean)})", AGAIN)
        if name.startswith(NO_SCORES) or name in NO_SCORE:
            continue
        if name in seen:
            raise DataError(file, f"{key.instance} has {name} several times", AGAIN)
        seen.add(name)
        if is_score(mean):
            yield name, float(mean)


def _stated(metric: str, chance: float | None) -> MetricStatement:
    """State what is known of HELM's own metrics; of `@5`, the best of five completions, guessing is worth more."""
    if metric.partition("@")[0] in OVERLAPS:
        return MetricStatement(higher_is_better=True, chance=0.0)
    if metric.partition("@")[0] not in MATCHES:
        return MetricStatement()
    stated = MetricStatement(higher_is_better=True)
    if chance is not None and "@" not in metric:
        stated["chance"] = chance
    return stated


def _read(asked: _Asked) -> ReadAnswer | None:
    """Read the answer as HELM maps it: the letter of a reference, or the text."""
    text = asked.given.strip()
    if len(asked.prompts) > 1:
        taken = asked.references.index(asked.given) if asked.given in asked.references else None
        return None if taken is None else picked(asked.references, taken, asked.right)
    if text in asked.mapping and asked.mapping[text] in asked.references:
        return picked(asked.references, asked.references.index(asked.mapping[text]), asked.right)
    right = tuple(asked.references[place].strip() for place in asked.right)
    return ReadAnswer(text, right, empty=not text, unreadable=bool(text and asked.mapping))
