"""A task and its rows to examples and requests, the same for every model that will be asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from evalharness import fingerprint
from evalharness.data.files import DataRow
from evalharness.data.grouping import grouped
from evalharness.data.sources import DataSource, DataSplit, read_rows
from evalharness.errors import DataError, ModelError, UsageError
from evalharness.metrics.base import build, check_asked
from evalharness.records.requests import Example, Generate, PreparedTask, Rank, Request, Score
from evalharness.records.tasks import OutputType, Task
from evalharness.records.tokenizers import Unrenderable
from evalharness.tasks.examples import NoLabel, chance, example
from evalharness.tasks.fitting import Draft, Fitter
from evalharness.tasks.perturb import perturbed
from evalharness.tasks.prompts import Question, Renderer, answer_of
from evalharness.tasks.shots import Shots, draw, generator
from evalharness.tasks.templates import TemplateProblem, render
from evalharness.tasks.turns import Chat, Turn, delimited

Header = tuple[tuple[Turn, ...], ...]  # the turns of every shot


@dataclass(frozen=True, slots=True)
class PromptSettings:
    """How to ask a task. `limit`: that many examples, drawn by `seed`; `budget`: most tokens of prompt and answer
    together, as `count` counts.

    `system`: what stands before the task's description; `chat`: by whose template, else plainly. `whole_ids`: examples
    are told apart by what they were before anything was cut to fit, so that a model asked by another template, which
    leaves other room, can be paired with this one.
    `apart`: an encoder reads the prompt and a decoder the answer, each within the budget.
    """

    num_fewshot: int | None = None
    limit: int | None = None
    seed: int = 1234
    split: str | None = None
    budget: int | None = None
    count: Callable[[str], int] | None = None
    system: str = ""
    chat: Chat | None = None
    whole_ids: bool = False
    apart: bool = False


@dataclass(frozen=True, slots=True)
class TrainingPairs:
    """(prompt, completion) of every row of a split, without shots; the completion starts with the target delimiter."""

    pairs: tuple[tuple[str, str], ...]
    digest: str


def prepare(task: Task, source: DataSource, asking: PromptSettings) -> PreparedTask:
    """Every example of the split, or of a seeded part of it in the order of the data.

    Raises DataError naming task, split, row and column for a row that cannot be asked or has no label, and TaskError
    for a metric that cannot be computed. A prompt that does not fit the budget is a failure of that example; a text
    that is scored whole always fits, in pieces.
    """
    _check(asking)
    for spec in task.metrics:
        build(spec)
        check_asked(spec, task.output_type)
    split = asking.split or task.evaluation_split
    rows = _rows(task, split, source)
    places = _Places(task, split, rows.origin)
    columns = frozenset(column for row in rows.rows for column in row)
    shots, header = _shots(task, source, asking, columns)
    renderer = Renderer(task, columns)
    budget = None if task.output_type == OutputType.LOGLIKELIHOOD_ROLLING else asking.budget
    fitter = Fitter(
        task,
        renderer,
        budget,
        asking.count,
        lambda asked: _continuations(task, asked, asking.chat),
        asking.chat,
        asking.apart,
    )
    units = _units(task, rows.rows, places)
    chosen = _chosen(task, units, asking)
    examples: list[Example] = []
    requests: list[Request] = []
    failures: list[tuple[str, str]] = []
    for index in chosen:
        row = rows.rows[index]
        try:
            before = header(shots.before(row, str(index)))
            whole = _draft(renderer, perturbed(renderer, index, row, asking.seed), before, asking.system)
            fitted = fitter.fit(whole)
            asked = example(renderer, index, fitted or whole, asking.chat, whole if asking.whole_ids else None)
        except NoLabel as problem:
            raise places.unlabelled(index, problem, rows.rows) from None
        except TemplateProblem as problem:
            raise places.error(index, problem) from None
        except Unrenderable as problem:
            raise places.refused(index, problem) from None
        if fitted is None:
            failures.append((asked.id, f"does not fit into {asking.budget} tokens"))
        else:
            examples.append(asked)
            requests.append(_request(task, fitted, asking.chat))
    prompts = fingerprint.of_value([[asked.id, request.id] for asked, request in zip(examples, requests, strict=True)])
    made, guessing = tuple(examples), chance(task, examples)
    return PreparedTask(task, made, tuple(requests), tuple(failures), len(units), rows.digest, prompts, guessing)


def training_pairs(task: Task, source: DataSource, split: str) -> TrainingPairs:
    """What the task asks and the right answer, row by row, without shots. Raises DataError as `prepare` does."""
    rows = _rows(task, split, source)
    places = _Places(task, split, rows.origin)
    renderer = Renderer(task, frozenset(column for row in rows.rows for column in row))
    pairs: list[tuple[str, str]] = []
    for index, row in enumerate(rows.rows):
        try:
            draft = _draft(renderer, row, (), "")
            example(renderer, index, draft)
            right = draft.asked.gold or 0
            delimiter = "" if task.output_type == OutputType.LOGLIKELIHOOD else task.target_delimiter
            pairs.append((draft.contexts(task)[right], delimiter + answer_of(draft.asked)))
        except NoLabel as problem:
            raise places.unlabelled(index, problem, rows.rows) from None
        except TemplateProblem as problem:
            raise places.error(index, problem) from None
    return TrainingPairs(tuple(pairs), fingerprint.of_value(pairs))


@dataclass(frozen=True, slots=True)
class _Places:
    """Names rows in errors."""

    task: Task
    split: str
    origin: str

    def error(self, index: int, problem: TemplateProblem) -> DataError:
        column = f"column {problem.column!r}: " if problem.column else ""
        return DataError(
            f"{self.task.name}, split {self.split!r}, row {index}",
            f"{column}{problem.what}",
            f"the rows come from {self.origin}",
        )

    def refused(self, index: int, problem: Unrenderable) -> ModelError:
        where = f"{self.task.name}, split {self.split!r}, row {index}"
        fix = "shots in one turn (--no-fewshot-as-multiturn) or no --apply-chat-template may be right"
        return ModelError(where, f"the chat template refuses its turns ({problem})", fix)

    def unlabelled(self, index: int, problem: NoLabel, rows: Sequence[DataRow]) -> DataError:
        """One row's wrong label; where every row has the same one, the split has no labels at all."""
        column = problem.column
        if len(rows) > 1 and all(column in row and row[column] in (-1, None, "") for row in rows):
            known = [
                name for name in (self.task.validation_split, self.task.training_split) if name and name != self.split
            ]
            fix = f"evaluate a split that has some{f' ({known[0]})' if known else ''}; the rows come from {self.origin}"
            what = f"has no labels (column {column!r} is {rows[0].get(column)!r} in every row)"
            return DataError(f"{self.task.name}, split {self.split!r}", what, fix)
        return self.error(index, problem)


def _check(asking: PromptSettings) -> None:
    if asking.limit is not None and asking.limit < 1:
        raise UsageError("limit", f"is {asking.limit}", "a whole number from 1 up would be right")
    if asking.num_fewshot is not None and asking.num_fewshot < 0:
        raise UsageError("num_fewshot", f"is {asking.num_fewshot}", "a whole number from 0 up would be right")


def _rows(task: Task, split: str, source: DataSource) -> DataSplit:
    return grouped(read_rows(task, split, source), task)


def _units(task: Task, rows: Sequence[DataRow], places: _Places) -> list[list[int]]:
    """Indices of the rows of each unit, in the order of the data."""
    units: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        try:
            units.setdefault(render(task.unit, row) if task.unit else str(index), []).append(index)
        except TemplateProblem as problem:
            raise places.error(index, problem) from None
    return list(units.values())


def _chosen(task: Task, units: Sequence[list[int]], asking: PromptSettings) -> Sequence[int]:
    """Rows to ask: whole units, as many as the limit holds, at least one. A smaller limit takes a part of what a larger
    one takes.
    """
    order = list(units)
    if asking.limit is not None and asking.limit < sum(map(len, units)):
        generator("limit", asking.seed, task.origin).shuffle(order)
        kept = [size <= asking.limit for size in accumulate(map(len, order))]
        order = order[: max(1, kept.index(False))]
    return sorted(index for unit in order for index in unit)


def _shots(
    task: Task, source: DataSource, asking: PromptSettings, columns: frozenset[str]
) -> tuple[Shots, Callable[[Sequence[DataRow]], Header]]:
    """Where shots come from, and how rows become their turns (each rendered once). A text that is scored whole has
    none.
    """
    number = task.num_fewshot if asking.num_fewshot is None else asking.num_fewshot
    number = 0 if task.output_type == OutputType.LOGLIKELIHOOD_ROLLING else number
    pool: Sequence[DataRow] = ()
    place = _Places(task, "fewshot_config.samples", str(task.source))
    if number and task.fewshot_split is None:
        pool = task.shots.get("samples", ())
    elif number:
        rows = _rows(task, str(task.fewshot_split), source)
        pool, place = rows.rows, _Places(task, str(task.fewshot_split), rows.origin)
    renderer = Renderer(task, columns, for_shots=True)
    turns: dict[int, tuple[Turn, ...]] = {}

    def header(chosen: Sequence[DataRow]) -> Header:
        for row in chosen:
            if id(row) not in turns:
                try:
                    turns[id(row)] = renderer.shot(row)
                except TemplateProblem as problem:
                    raise place.error(next(i for i, other in enumerate(pool) if other is row), problem) from None
        return tuple(turns[id(row)] for row in chosen)

    return draw(task, pool, number, asking.seed), header


def _draft(renderer: Renderer, row: DataRow, shots: Header, system: str) -> Draft:
    said = delimited(system, renderer.field(row, renderer.task.description), renderer.task.fewshot_delimiter)
    return Draft(said, shots, renderer.question(row), row)


def _continuations(task: Task, asked: Question, chat: Chat | None) -> tuple[str, ...]:
    """What is scored after the context, as lm-eval joins it."""
    if task.output_type == OutputType.LOGLIKELIHOOD:
        return (answer_of(asked),)
    begun = bool(task.gen_prefix) and not task.gen_prefix[-1].isspace()
    delimiter = task.target_delimiter if chat is None or begun else ""  # a turn of its own needs no delimiter
    if asked.several:
        return tuple(f"{delimiter}{answer_of(asked)}" for _ in asked.choices)
    return tuple(f"{delimiter}{choice}" for choice in asked.choices)


def _request(task: Task, draft: Draft, chat: Chat | None) -> Request:
    if task.output_type == OutputType.LOGLIKELIHOOD_ROLLING:
        return Score(answer_of(draft.asked))
    contexts = draft.contexts(task, chat)
    if task.output_type == OutputType.GENERATE_UNTIL:
        return Generate(contexts[0], task.stop, task.max_tokens)
    continuations = _continuations(task, draft.asked, chat)
    if len(contexts) == 1:
        contexts = contexts * len(continuations)
    pairs = list(zip(contexts, continuations, strict=True))
    if any(spec.name == "acc_mutual_info" for spec in task.metrics):
        pairs += [("", continuation) for continuation in continuations]
    return Rank(tuple(pairs))
