"""Make variants of a task: Tasks on the same rows with another wording, answer format or disturbed texts.

    sst2@NAME     another wording, of `metadata.templates`
    sst2@written  the generative twin of a choice task: the model writes the answer, greedily, until the end of the line
    sst2@chosen   the same prompts and choices, scored with more metrics of a ranking
    sst2@typos    disturbed texts (perturb.py); also @case, @spacing
    sst2@dialect  words of its texts in another dialect; @names: other first names

A twin has the task's own prompt if its choices are fixed words of the file, or are all in that prompt; otherwise they
are listed before it. The written answer is scored twice: `strict`, if the text is exactly the right choice, and
`lenient`, if the first choice in it is the right one (reading.py); `unparsed` is the share of texts without a choice.
Four more metrics are about the texts themselves (metrics/written.py). `metadata.twin` of a task changes its twin.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from evalharness import fingerprint
from evalharness.data.files import DataRow
from evalharness.errors import TaskError
from evalharness.metrics import TEXTS
from evalharness.records.tasks import MetricSpec, OutputType, Task, Variant, VariantKind
from evalharness.tasks import perturb, scoring
from evalharness.tasks.fields import Fields
from evalharness.tasks.filters import CHOICES_TAG
from evalharness.tasks.prompts import Question, Renderer
from evalharness.tasks.reading import LETTERS
from evalharness.tasks.templates import ENVIRONMENT, TemplateProblem
from evalharness.tasks.word_lists import Substitutes

WRITTEN, CHOSEN = "written", "chosen"
DISTURBANCES = tuple(perturb.UNITS)
WORST = "worst"  # of a task and its disturbances, row by row: computed from their answers
STRICT, LENIENT = "exact_match,strict", "exact_match,lenient"
UNPARSED = "unparsed,lenient"
CALIBRATION, BIAS = ("ece", "brier_score"), "selection_bias"
ASKED_FOR = "Choose one of these:"
SPARE_TOKENS, MOST_TOKENS = 16, 128  # beyond the characters of the longest choice, and in all


class VariantProblem(Exception):
    """Raised if a variant cannot be made of a task; the text is the reason for the user."""


def name_of(of: str, way: str) -> str:
    """Return the name of a variant of the task or group `of` in files and reports."""
    return f"{of}@{way}"


def with_wording(task: Task, name: str, beside: bool = True) -> Task:
    """Return the task in its wording `name`, to be evaluated beside the task or instead of it.

    Raises KeyError if it has no such wording, TaskError if the name is that of another kind of variant.
    """
    if name in (WRITTEN, CHOSEN, WORST, *DISTURBANCES, *perturb.REPLACING) or "@" in name:
        what = f"a wording is called {name!r}, which is the name of another way of asking"
        raise TaskError(task.source, what, "give it another name")
    changes = task.templates[name]
    return _variant(_reworded(task, changes), task, name, VariantKind.WORDING, changes, beside)


def with_disturbance(task: Task, way: str) -> Task:
    """Return the task with disturbed texts. `perturb.why_not` says whether that is useful for its rows."""
    return _variant(replace(task, perturbation=way), task, way, VariantKind.DISTURBED, {})


def with_substitutes(task: Task, way: str, words: Substitutes) -> Task:
    """Return the task with words of its texts replaced by others of a list."""
    changed = replace(task, perturbation=way, substitutes=words)
    return _variant(changed, task, way, VariantKind.REPLACED, {"words": {word: [*of] for word, of in words.items()}})


def choice_variant(task: Task) -> Task:
    """Return a task with the same prompts and choices, scored by its primary metric, accuracy, calibration and
    selection bias.
    """
    metrics = tuple(spec for spec in task.metrics if spec.id == task.primary or spec.name in ("acc", "acc_mutual_info"))
    ids = {spec.id for spec in metrics}
    more = [MetricSpec(id=name, name=name) for name in ("acc", *CALIBRATION) if name not in ids]
    derived = replace(task, metrics=(*metrics, *more, *picks(task)))
    return _variant(derived, task, CHOSEN, VariantKind.CHOSEN, {"version": 1})


def picks(task: Task) -> tuple[MetricSpec, ...]:
    """Return the metric of selection bias if all rows have the same choices, else nothing."""
    choices = task.doc_to_choice if task.output_type == OutputType.MULTIPLE_CHOICE else None
    if not isinstance(choices, tuple) or len(choices) < 2:
        return ()
    return (MetricSpec(id=BIAS, name=BIAS, options={"choices": [str(choice).strip() for choice in choices]}),)


def written_twin(task: Task, rows: Sequence[DataRow]) -> Task:
    """Return a task with these rows whose answers are generated instead of ranked: the twin of a choice task.

    Raises VariantProblem, and TaskError for a wrong `metadata.twin`.
    """
    if task.output_type != OutputType.MULTIPLE_CHOICE:
        raise VariantProblem("it has no choices")
    changes = {key: value for key, value in task.twin.items() if key != "generation_kwargs"}
    renderer = Renderer(_reworded(task, changes), frozenset(column for row in rows for column in row))
    questions = list(_questions(renderer, rows))
    if any(question.several for question in questions):
        raise VariantProblem("its choices stand in the middle of the text, so none can be written after it")
    listing, source = _listing(renderer), renderer.task.doc_to_text
    fixed = isinstance(renderer.task.doc_to_choice, tuple)
    letters = "doc_to_text" not in changes and not fixed and not all(map(_shows_choices, questions))
    if letters:
        changes["doc_to_text"] = listing.in_front() + (f"{{{{{source}}}}}" if source in renderer.columns else source)
    longest = max((len(choice) for question in questions for choice in question.choices), default=0)
    most, stop = _limits(task, min(MOST_TOKENS, SPARE_TOKENS + longest))
    step = {"function": "written_choice", "letters": letters}
    twin = replace(
        _reworded(task, changes),
        output_type=OutputType.GENERATE_UNTIL,
        max_tokens=most,
        stop=stop,
        stop_at_once=False,
        filters=(("strict", ({**step, "exact": True},)), ("lenient", (step,))),
        metrics=(*_of_answers(), *_of_texts(most)),
        primary=LENIENT,
        chance=0.0,
        value=None,
        choice_scores=None,
        labels={CHOICES_TAG: listing.as_json()},
        twin={},
    )
    changes |= {"generation": [most, stop], "letters": letters, "version": 2}
    return _variant(twin, task, WRITTEN, VariantKind.WRITTEN, changes)


def _of_answers() -> Iterator[MetricSpec]:
    """Return the metrics of the extracted answers."""
    for name, _, pipeline in (id_.partition(",") for id_ in (LENIENT, STRICT, UNPARSED)):
        yield MetricSpec(id=f"{name},{pipeline}", name=name, filter=pipeline)


def _of_texts(most: int) -> tuple[MetricSpec, ...]:
    """Return the metrics of the texts themselves. Lengths are on one scale, so that a group's can be pooled."""
    options = {"length": {"most": max(most, MOST_TOKENS)}}
    return tuple(MetricSpec(id=name, name=name, options=options.get(name, {})) for name in TEXTS)


def _reworded(task: Task, changes: Mapping[str, Any]) -> Task:
    """Return the task with some keys changed, also for its shots."""
    return replace(task, **changes, shots={key: value for key, value in task.shots.items() if key not in changes})


def _variant(
    derived: Task, of: Task, way: str, kind: VariantKind, changes: Mapping[str, Any], beside: bool = True
) -> Task:
    variant = Variant(of=of.name, way=way, kind=kind, metric=derived.primary, origin=of.origin, beside=beside)
    digest = fingerprint.of_value([of.digest, way, changes])
    return replace(
        derived, name=name_of(of.name, way), variant=variant, digest=digest, tags=(), templates={}, lm_eval="no"
    )


def _questions(renderer: Renderer, rows: Sequence[DataRow]) -> Iterator[Question]:
    """Return the rendered rows. A row that cannot be rendered is reported when the prompts are made."""
    for row in rows:
        try:
            yield renderer.question(row)
        except TemplateProblem:
            continue


def _shows_choices(question: Question) -> bool:
    return all(choice.strip() in question.contexts[0] for choice in question.choices)


def _limits(task: Task, most: int) -> tuple[int, tuple[str, ...]]:
    """Return the largest number of new tokens and the stop strings of a twin."""
    options = Fields(task.twin, task.source, "metadata.twin").mapping("generation_kwargs")
    merged = {
        "until": ["\n"],
        **({} if any(key in options for key in scoring.LENGTHS) else {"max_gen_toks": most}),
        **options,
    }
    return scoring.lengths_and_stops(
        Fields({"generation_kwargs": merged}, task.source, "metadata.twin"), task.fewshot_delimiter
    )


# ---- choices for a template ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Listing:
    """A template expression for the list of choices, and the statements before it, which print nothing."""

    before: str
    expression: str

    def in_front(self) -> str:
        """Return a template of the choices, one per line, with letters if there are enough; an empty line ends them."""
        letter = f"{{% if loop.length <= {len(LETTERS)} %}}{{{{'{LETTERS}'[loop.index0]}}}}. {{% endif %}}"
        listed = f"{{% for option in {self.expression} %}}{{{{'\\n'}}}}{letter}{{{{option}}}}{{% endfor %}}"
        return f"{self.before}{{{{'{ASKED_FOR}'}}}}{listed}{{{{'\\n\\n'}}}}"

    def as_json(self) -> str:
        return f"{self.before}{{{{ ({self.expression}) | tojson }}}}"


def _listing(renderer: Renderer) -> _Listing:
    """Return the template expression for the choices of a task. Raises VariantProblem if its template is more than one
    expression.
    """
    source = renderer.task.doc_to_choice
    if isinstance(source, tuple):
        return _Listing(before="", expression=json.dumps(source))
    if source in renderer.columns and str(source).isidentifier():
        return _Listing(before="", expression=str(source))
    before, inside, expression, over = "", False, "", False
    for _, kind, text in ENVIRONMENT.lex(str(source)):
        if kind == "variable_begin" and not over:
            inside = True
        elif kind == "variable_end" and inside:
            inside, over = False, True
        elif inside:
            expression += text
        elif kind == "data" or kind.startswith(("variable", "comment")) or over:
            if text.strip() and not kind.startswith("comment"):
                raise VariantProblem("its choices are no one expression of its template, so they cannot be listed")
        else:
            before += text
    if not expression.strip():
        raise VariantProblem("its choices are no expression of its template, so they cannot be listed")
    return _Listing(before=before, expression=expression.strip())
