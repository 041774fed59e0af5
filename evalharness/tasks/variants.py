"""Make variants of a task: Tasks of their own that ask about the same rows in another way. Only here are they named.

    sst2@NAME     another wording, of `metadata.templates`
    sst2@written  the generative twin of a choice task: asked to write the answer, greedily, until the end of the line
    sst2@chosen   the same prompts and choices, scored by what tells more of a ranking than how often it is right
    sst2@typos    the texts of its rows disturbed (perturb.py); also @case, @spacing
    sst2@dialect  words of its texts told in another dialect; @names: other first names in them

A twin is asked with the task's own prompt where its choices are fixed words of the file, or all stand in that prompt;
otherwise they are listed in front of it. What is written is scored twice: `strict`, where the text is the right choice
and nothing else, and `lenient`, where the first choice that stands in it is the right one (reading.py); `unparsed` is
the share of texts that give none. The texts as they are give four more numbers (metrics/written.py). A task says under
`metadata.twin` what its twin asks instead.
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
WORST = "worst"  # of a task and its disturbances, row by row: not asked, but computed
STRICT, LENIENT = "exact_match,strict", "exact_match,lenient"
UNPARSED = "unparsed,lenient"
CALIBRATION, BIAS = ("ece", "brier_score"), "selection_bias"
ASKED_FOR = "Choose one of these:"
SPARE_TOKENS, MOST_TOKENS = 16, 128  # beyond the characters of the longest choice, and in all


class VariantProblem(Exception):
    """Why a task cannot be asked in some other way; its text is a reason for people."""


def name_of(of: str, way: str) -> str:
    """The name under which a variant of the task or group `of` goes in files and reports."""
    return f"{of}@{way}"


def worded(task: Task, name: str, beside: bool = True) -> Task:
    """The task in its wording `name`, to be asked beside it or in its place. Raises KeyError where it has none of that
    name, TaskError where the name is that of another kind of variant.
    """
    if name in (WRITTEN, CHOSEN, WORST, *DISTURBANCES, *perturb.REPLACING) or "@" in name:
        what = f"a wording is called {name!r}, which is the name of another way of asking"
        raise TaskError(task.source, what, "give it another name")
    changes = task.templates[name]
    return _variant(_reworded(task, changes), task, name, VariantKind.WORDING, changes, beside)


def disturbed(task: Task, way: str) -> Task:
    """The task with the texts of its rows disturbed. Whether that says anything about its rows, `perturb.why_not`
    tells.
    """
    return _variant(replace(task, perturbation=way), task, way, VariantKind.DISTURBED, {})


def replaced(task: Task, way: str, words: Substitutes) -> Task:
    """The task with words of its rows' texts replaced by others of a list."""
    changed = replace(task, perturbation=way, substitutes=words)
    return _variant(changed, task, way, VariantKind.REPLACED, {"words": {word: [*of] for word, of in words.items()}})


def chosen(task: Task) -> Task:
    """The very requests of a choice task, whose answers are read by its primary metric, accuracy, calibration and the
    bias of its picks.
    """
    kept = tuple(spec for spec in task.metrics if spec.id == task.primary or spec.name in ("acc", "acc_mutual_info"))
    ids = {spec.id for spec in kept}
    more = [MetricSpec(id=name, name=name) for name in ("acc", *CALIBRATION) if name not in ids]
    derived = replace(task, metrics=(*kept, *more, *picks(task)))
    return _variant(derived, task, CHOSEN, VariantKind.CHOSEN, {"version": 1})


def picks(task: Task) -> tuple[MetricSpec, ...]:
    """The metric of how evenly choices are picked, where they are the same for all rows; else none."""
    choices = task.doc_to_choice if task.output_type == OutputType.MULTIPLE_CHOICE else None
    if not isinstance(choices, tuple) or len(choices) < 2:
        return ()
    return (MetricSpec(id=BIAS, name=BIAS, options={"choices": [str(choice).strip() for choice in choices]}),)


def written(task: Task, rows: Sequence[DataRow]) -> Task:
    """The generative twin of a choice task; `rows` are those it is asked about. Raises VariantProblem, and TaskError
    for a wrong `metadata.twin`.
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
    """The metrics of what is read out of texts."""
    for name, _, pipeline in (id_.partition(",") for id_ in (LENIENT, STRICT, UNPARSED)):
        yield MetricSpec(id=f"{name},{pipeline}", name=name, filter=pipeline)


def _of_texts(most: int) -> tuple[MetricSpec, ...]:
    """The metrics of texts before anything is read out of them. Lengths are on one scale, so that a group's can be
    pooled.
    """
    options = {"length": {"most": max(most, MOST_TOKENS)}}
    return tuple(MetricSpec(id=name, name=name, options=options.get(name, {})) for name in TEXTS)


def _reworded(task: Task, changes: Mapping[str, Any]) -> Task:
    """The task with some keys changed, for its shots, too."""
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
    """The rows rendered; one that cannot be is named when the prompts are made."""
    for row in rows:
        try:
            yield renderer.question(row)
        except TemplateProblem:
            continue


def _shows_choices(question: Question) -> bool:
    return all(choice.strip() in question.contexts[0] for choice in question.choices)


def _limits(task: Task, most: int) -> tuple[int, tuple[str, ...]]:
    """(most new tokens, stop strings) of a twin."""
    given = Fields(task.twin, task.source, "metadata.twin").mapping("generation_kwargs")
    merged = {
        "until": ["\n"],
        **({} if any(key in given for key in scoring.LENGTHS) else {"max_gen_toks": most}),
        **given,
    }
    return scoring.lengths_and_stops(
        Fields({"generation_kwargs": merged}, task.source, "metadata.twin"), task.fewshot_delimiter
    )


# ---- choices as a template can list them -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Listing:
    """An expression whose value is the list of choices, and the statements before it, which print nothing."""

    before: str
    expression: str

    def in_front(self) -> str:
        """A template of the choices, one a line, with letters where there are enough; an empty line ends them."""
        letter = f"{{% if loop.length <= {len(LETTERS)} %}}{{{{'{LETTERS}'[loop.index0]}}}}. {{% endif %}}"
        listed = f"{{% for option in {self.expression} %}}{{{{'\\n'}}}}{letter}{{{{option}}}}{{% endfor %}}"
        return f"{self.before}{{{{'{ASKED_FOR}'}}}}{listed}{{{{'\\n\\n'}}}}"

    def as_json(self) -> str:
        return f"{self.before}{{{{ ({self.expression}) | tojson }}}}"


def _listing(renderer: Renderer) -> _Listing:
    """The choices of a task as a template can list them. Raises VariantProblem where they are pieced together to the
    text of a list.
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
