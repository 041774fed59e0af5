"""Read HELM's run folders: the statistics that it logged for every instance; answers are not scored again.

Statistics that count tokens, costs and the like are no scores. An instance that was sent with several choices of
solved examples (num_train_trials) is one unit. Splits are tasks of their own, as HELM scores them one by one.
Perturbed instances repeat others and are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from evalharness.data.files import json_form, kind
from evalharness.errors import DataError
from evalharness.imports.guessing import chance_level
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
from evalharness.tasks.answer_counts import ReadAnswer, picked_answer
from evalharness.tasks.library import Library

RERUN = "run helm-run again, which leaves per_instance_stats.json and scenario_state.json"
NO_SCORES = ("num_", "training_", "inference_", "finish_reason_", "estimated_", "cost_", "runtime_")  # beginnings
NO_SCORE = ("batch_size", "prompt_truncated", "max_prob", "logprob", "predicted_index")
MATCHES = ("exact_match", "quasi_exact_match", "prefix_exact_match", "quasi_prefix_exact_match")
OVERLAPS = ("f1_score", "rouge_1", "rouge_2", "rouge_l", "bleu_1", "bleu_4")  # 0 where no word is shared
SETTINGS = ("method", "max_train_instances", "num_train_trials", "temperature", "max_tokens", "instructions")
PLAIN_SPLIT = "test"
PROMPTS = ("prompt", "messages", "multimodal_prompt")  # of a request, which has one of them


class _Question(NamedTuple):
    """The question of one instance in one trial, and the model's answer.

    `right` are the indices of the right references. `completion` is what the model wrote. `mapping` maps letters to
    references if the answer is a letter.
    """

    prompts: list[Any]
    references: list[str]
    right: list[int]
    completion: str
    mapping: dict[str, str]
    split: str


def is_log(path: Path) -> bool:
    """Return whether the path is a run folder of HELM, or a folder of these."""
    return bool(run_folders(path))


def read(path: Path, name: str, _library: Library | None = None, model: str = "") -> ModelLog:
    """Read every run of the `model`. It need not be named if there is only one.

    Raises UsageError if there are several models, DataError if files are damaged or missing.
    """
    runs = [read_run(folder) for folder in run_folders(path)]
    models = sorted({run.model for run in runs})
    model_name = one_model(path, models, model, "run", "runs")
    own = [run for run in runs if run.model == model_name]
    notices: list[str] = []
    tasks: dict[str, LoggedTask] = {}
    for run in own:
        for task in _tasks(run, notices):
            if task.name in tasks:
                raise DataError(run.folder, f"{task.name} comes twice", "leave one of the two runs out")
            tasks[task.name] = task
    settings = {key: json_form(own[-1].adapter.get(key)) for key in SETTINGS}
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
    questions = {
        key: _question(file, of, statistics.get(key, ())) for key, of in states.items() if not key.perturbation
    }
    if not questions:
        raise DataError(file, "no instances that are not perturbed", RERUN)
    for split in dict.fromkeys(each.split for each in questions.values()):
        own = {key: each for key, each in questions.items() if each.split == split}
        name = run.task if split == PLAIN_SPLIT else f"{run.task}{',' if ':' in run.task else ':'}split={split}"
        yield _task(name, run, own, statistics, notices)


def _question(file: Path, states: Sequence[Object], statistics: Sequence[Object]) -> _Question:
    """Read the question and the completion. If every choice was a request of its own, read the choice that
    HELM took.
    """
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
    completion = _completion(states[0])
    if len(states) > 1:
        place_chosen = next((stat.get("mean") for stat in statistics if _name(stat) == "predicted_index"), None)
        completion = next((text for place, text in enumerate(references) if place == place_chosen), "")
    mapping = states[0].get("output_mapping")
    mapping = {str(key): str(value) for key, value in mapping.items()} if isinstance(mapping, dict) else {}
    return _Question(prompts, references, right, completion, mapping, str(instance.get("split") or PLAIN_SPLIT))


def _prompt_text(prompt: Any) -> str:
    """Return the text of a prompt, or of its messages."""
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
    name: str,
    run: HelmRun,
    questions: dict[TrialKey, _Question],
    statistics: dict[TrialKey, list[Object]],
    notices: list[str],
) -> LoggedTask:
    """Read one task's answers by metric. Raises DataError if it has none."""
    answers: dict[str, list[Answer]] = {}
    texts: dict[str, AnswerTexts] = {}
    identities, failed = Identities(), 0
    for key, each in questions.items():
        gold = [each.references[place] for place in each.right]
        identity, document, content = identities.of(key.instance, each.prompts, gold, each.references)
        scores = dict(_scores(run.folder / STATS, key, statistics.get(key, ())))
        failed += not scores
        texts[identity] = AnswerTexts(_prompt_text(each.prompts[0]), each.completion, " | ".join(gold))
        for metric, value in scores.items():
            answers.setdefault(metric, []).append(Answer(identity, document, document, value, content))
    if failed:
        notices.append(f"{run.folder}: {failed} of {len(questions)} instances got no score")
    if not answers:
        raise DataError(run.folder / STATS, "no scored instances", RERUN)
    choice = str(run.adapter.get("method")).startswith("multiple_choice")
    chance = chance_level(
        [len(each.references) * choice for each in questions.values()], [text.gold for text in texts.values()]
    )
    return LoggedTask(
        name=name,
        answers={metric: tuple(of) for metric, of in answers.items()},
        stated={metric: _stated(metric, chance) for metric in answers},
        read={"none": tuple(answer for each in questions.values() if (answer := _read(each)) is not None)},
        texts=texts,
        failed=failed,
    )


def _name(stat: Object) -> str:
    name = stat.get("name")
    return str(name.get("name")) if isinstance(name, dict) else ""


def _scores(file: Path, key: TrialKey, statistics: Sequence[Object]) -> Iterator[tuple[str, float]]:
    """Yield the scores of one instance. Raises DataError for a statistic that is malformed or comes twice."""
    names: set[str] = set()
    for stat in statistics:
        name, mean = _name(stat), stat.get("mean")
        if not name or not isinstance(mean, int | float | None):
            raise DataError(file, f"a statistic of {key.instance} is not HELM's (mean is {kind(mean)})", AGAIN)
        if name.startswith(NO_SCORES) or name in NO_SCORE:
            continue
        if name in names:
            raise DataError(file, f"{key.instance} has {name} several times", AGAIN)
        names.add(name)
        if is_score(mean):
            yield name, float(mean)


def _stated(metric: str, chance: float | None) -> MetricStatement:
    """Return what is known of HELM's own metrics. The chance level of `@5`, the best of five completions, is not
    known.
    """
    if metric.partition("@")[0] in OVERLAPS:
        return MetricStatement(higher_is_better=True, chance=0.0)
    if metric.partition("@")[0] not in MATCHES:
        return MetricStatement()
    stated = MetricStatement(higher_is_better=True)
    if chance is not None and "@" not in metric:
        stated["chance"] = chance
    return stated


def _read(question: _Question) -> ReadAnswer | None:
    """Read the answer as HELM maps it: the letter of a reference, or the text."""
    text = question.completion.strip()
    if len(question.prompts) > 1:
        place = question.references.index(question.completion) if question.completion in question.references else None
        return None if place is None else picked_answer(question.references, place, question.right)
    if text in question.mapping and question.mapping[text] in question.references:
        return picked_answer(question.references, question.references.index(question.mapping[text]), question.right)
    right = tuple(question.references[place].strip() for place in question.right)
    return ReadAnswer(text, right, empty=not text, unreadable=bool(text and question.mapping))
