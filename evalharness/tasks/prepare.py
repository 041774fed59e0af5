"""Prepare the examples and requests of a task from its rows; they are the same for every model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

from evalharness import fingerprint
from evalharness.data.files import DataRow
from evalharness.data.sources import DataSource
from evalharness.errors import UsageError
from evalharness.metrics.base import Look, Mean
from evalharness.metrics.build import build, check_readable
from evalharness.records.requests import Example, Generate, PreparedTask, Rank, Request, Score
from evalharness.records.tasks import OutputType, Task
from evalharness.tasks.clusters import clusters
from evalharness.tasks.examples import chance, content_digest, make_example
from evalharness.tasks.perturb import perturb_row
from evalharness.tasks.prompts import Question, Renderer, answer_of
from evalharness.tasks.shots import Shots, draw, generator
from evalharness.tasks.split_rows import SplitRows
from evalharness.tasks.templates import TemplateProblem, render
from evalharness.tasks.truncation import Draft, Truncator
from evalharness.tasks.turns import Chat, Turn, join_delimited


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptSettings:
    """How to make the prompts of a task.

    `limit` is the number of examples, drawn by `seed`. `budget` is the largest number of tokens of prompt and answer
    together, as `count` counts them. `system` is the system message, put before the task's description. `chat` is the
    chat template; None for plain prompts. `whole_ids`: ids of examples are computed before anything is cut to fit, so
    that a model with another template, which leaves another budget, can be paired with this one. `apart`: an encoder
    reads the prompt and a decoder writes the answer, each within the budget. `without` are ids of examples to leave
    out.
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
    without: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Check the numbers. Raises UsageError."""
        for name, value, least in (("limit", self.limit, 1), ("num_fewshot", self.num_fewshot, 0)):
            if value is not None and value < least:
                raise UsageError(name, f"is {value}", f"a whole number from {least} up would be right")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPairs:
    """The rows of a split as pairs (prompt, completion), without shots. A completion starts with the target
    delimiter.
    """

    pairs: tuple[tuple[str, str], ...]
    digest: str


def prepare(task: Task, source: DataSource, settings: PromptSettings) -> PreparedTask:
    """Prepare every example of the split, or of a seeded part of it, in the order of the data.

    Raises DataError naming task, split, row and column for a row that cannot be rendered or has no label, and TaskError
    for a metric that cannot be computed. A prompt that does not fit the budget is a failure of that example, unless the
    task leaves such rows out; a text that is scored whole always fits, in pieces.
    """
    looks = _looks(task)
    split = SplitRows.read(task, settings.split or task.evaluation_split, source)
    shots, renderer = _shots(task, source, settings, split.columns), Renderer(task, split.columns)
    truncator, units = _truncator(renderer, settings), _units(split)
    rendered: list[_Rendered] = []
    for index in _draw_rows(task, units, settings):
        with split.errors_of(index):
            row = split.rows[index]
            header = shots.turns(row, str(index))
            row_to_ask = perturb_row(renderer, index, row, settings.seed)
            whole = _draft(renderer, row_to_ask, header, settings.system)
            draft = truncator.truncate(whole)
            one = make_example(renderer, index, draft or whole, settings.chat, whole if settings.whole_ids else None)
            plain = whole if row_to_ask is row else _draft(renderer, row, (), settings.system)
            _check_references(looks, one)
            rendered.append(_Rendered(one, draft, content_digest(renderer, plain)))
    remaining = [row for row in rendered if not _is_left_out(row, task, settings)]
    left_out = {row.example.id: row.example.key for row in rendered if _is_left_out(row, task, settings)}
    units_left = len(units) - len(set(left_out.values()) - {row.example.key for row in remaining})
    prepared = _prepared(task, settings, remaining, units_left)
    return replace(prepared, data_digest=split.digest, left_out=tuple(left_out))


@dataclass(frozen=True, slots=True)
class _Rendered:
    """A drawn row as an example.

    `draft` is its prompt; None if it does not fit. `content` is a digest of the question, which rows that repeat it
    share.
    """

    example: Example
    draft: Draft | None
    content: str


def _is_left_out(row: _Rendered, task: Task, settings: PromptSettings) -> bool:
    return row.example.id in settings.without or (row.draft is None and task.too_long == "leave_out")


def _looks(task: Task) -> list[Look]:
    """Return the tests that the metrics of a task apply. Raises TaskError for a metric that cannot be
    computed for it.
    """
    metrics = [build(spec) for spec in task.metrics]
    for spec in task.metrics:
        check_readable(spec, task.output_type)
    return [metric.look for metric in metrics if isinstance(metric, Mean) and metric.look is not None]


def _check_references(looks: Sequence[Look], one: Example) -> None:
    """Raise TemplateProblem for references that a metric cannot read."""
    try:
        for look in looks:
            look(one.references, "")
    except ValueError as problem:
        raise TemplateProblem(str(problem)) from None


def _prepared(task: Task, settings: PromptSettings, rendered: Sequence[_Rendered], units: int) -> PreparedTask:
    """Return the prepared task without the digest of its data; rows that repeat a question are one unit. `units`:
    number of units of the whole split.
    """
    heads = clusters([(("key", row.example.key), ("content", row.content)) for row in rendered])
    drafts = [
        (replace(row.example, unit=rendered[head].example.key), row.draft, row.content)
        for row, head in zip(rendered, heads, strict=True)
    ]
    examples = tuple(one for one, draft, _ in drafts if draft is not None)
    requests = tuple(_request(task, draft, settings.chat) for _, draft, _ in drafts if draft is not None)
    too_long = f"does not fit into {settings.budget} tokens"
    return PreparedTask(
        task=task,
        examples=examples,
        requests=requests,
        failures=tuple((one.id, too_long) for one, draft, _ in drafts if draft is None),
        available=units - len({row.example.key for row in rendered}) + len(set(heads)),
        data_digest="",
        prompts_digest=fingerprint.of_value(
            [[e.id, request.id] for e, request in zip(examples, requests, strict=True)]
        ),
        chance=chance(task, examples),
        repeated=len(examples) - len({digest for _, draft, digest in drafts if draft is not None}),
    )


def training_pairs(task: Task, source: DataSource, split: str) -> TrainingPairs:
    """Return the prompt and right answer of every row, without shots. Raises DataError as `prepare` does."""
    rows = SplitRows.read(task, split, source)
    renderer = Renderer(task, rows.columns)
    delimiter = "" if task.output_type == OutputType.LOGLIKELIHOOD else task.target_delimiter
    pairs: list[tuple[str, str]] = []
    for index, row in enumerate(rows.rows):
        with rows.errors_of(index):
            draft = _draft(renderer, row, (), "")
            make_example(renderer, index, draft)
            prompt = draft.contexts(task)[draft.question.gold or 0]
            pairs.append((prompt, delimiter + answer_of(draft.question)))
    return TrainingPairs(pairs=tuple(pairs), digest=fingerprint.of_value(pairs))


@dataclass(frozen=True, slots=True, kw_only=True)
class _ShotTurns:
    """The shots of each row as turns; every shot is rendered once."""

    shots: Shots
    renderer: Renderer
    pool: SplitRows
    places: Mapping[int, int]  # id() of a row of the pool -> its index
    rendered: dict[int, tuple[Turn, ...]] = field(default_factory=dict)

    def turns(self, row: DataRow, key: str) -> tuple[tuple[Turn, ...], ...]:
        return tuple(map(self._turns_of, self.shots.before(row, key)))

    def _turns_of(self, shot: DataRow) -> tuple[Turn, ...]:
        place = self.places[id(shot)]
        if place not in self.rendered:
            with self.pool.errors_of(place):
                self.rendered[place] = self.renderer.shot(shot)
        return self.rendered[place]


def _shots(task: Task, source: DataSource, settings: PromptSettings, columns: frozenset[str]) -> _ShotTurns:
    """Return the source of shots. A text that is scored whole has none, nor has a task that lists none (`samples:
    []`).
    """
    number = task.num_fewshot if settings.num_fewshot is None else settings.num_fewshot
    number = number if task.takes_shots else 0
    if number and task.fewshot_split is not None:
        pool = SplitRows.read(task, task.fewshot_split, source)
    else:
        samples = task.shots.get("samples", ()) if number else ()
        pool = SplitRows(task=task, name="fewshot_config.samples", rows=samples, origin=str(task.source))
    shots = draw(task, pool.rows, number, settings.seed)
    places = {id(row): place for place, row in enumerate(pool.rows)}
    return _ShotTurns(shots=shots, renderer=Renderer(task, columns, for_shots=True), pool=pool, places=places)


def _truncator(renderer: Renderer, settings: PromptSettings) -> Truncator:
    task, chat = renderer.task, settings.chat
    return Truncator(
        task=task,
        renderer=renderer,
        budget=None if task.output_type == OutputType.LOGLIKELIHOOD_ROLLING else settings.budget,
        count=settings.count,
        continuations=lambda question: _continuations(task, question, chat),
        chat=chat,
        apart=settings.apart,
    )


def _units(split: SplitRows) -> list[list[int]]:
    """Return the indices of the rows of each unit, in the order of the data."""
    units: dict[str, list[int]] = {}
    for index, row in enumerate(split.rows):
        with split.errors_of(index):
            units.setdefault(render(split.task.unit, row) if split.task.unit else str(index), []).append(index)
    return list(units.values())


def _draw_rows(task: Task, units: Sequence[list[int]], settings: PromptSettings) -> Sequence[int]:
    """Draw the rows: whole units within the limit, at least one. The rows of a smaller limit are a part of those of a
    larger one.
    """
    order = list(units)
    if settings.limit is not None and settings.limit < sum(map(len, units)):
        generator("limit", settings.seed, task.origin).shuffle(order)
        fits = [size <= settings.limit for size in accumulate(map(len, order))]
        order = order[: max(1, fits.index(False))]
    return sorted(index for unit in order for index in unit)


def _draft(renderer: Renderer, row: DataRow, shots: tuple[tuple[Turn, ...], ...], system: str) -> Draft:
    description = renderer.field(row, renderer.task.description)
    return Draft(
        system=join_delimited(system, description, renderer.task.fewshot_delimiter),
        shots=shots,
        question=renderer.question(row),
        row=row,
    )


def _continuations(task: Task, question: Question, chat: Chat | None) -> tuple[str, ...]:
    """Return the scored texts after the context, joined as in lm-eval."""
    if task.output_type == OutputType.LOGLIKELIHOOD:
        return (answer_of(question),)
    begun = bool(task.gen_prefix) and not task.gen_prefix[-1].isspace()
    delimiter = task.target_delimiter if chat is None or begun else ""  # a separate turn needs no delimiter
    if question.several:
        return tuple(f"{delimiter}{answer_of(question)}" for _ in question.choices)
    return tuple(f"{delimiter}{choice}" for choice in question.choices)


def _request(task: Task, draft: Draft, chat: Chat | None) -> Request:
    if task.output_type == OutputType.LOGLIKELIHOOD_ROLLING:
        return Score(text=answer_of(draft.question))
    contexts = draft.contexts(task, chat)
    if task.output_type == OutputType.GENERATE_UNTIL:
        prompt, stop, most = contexts[0], task.stop, task.max_tokens
        return Generate(prompt=prompt, stop=stop, max_tokens=most, stop_at_once=task.stop_at_once)
    continuations = _continuations(task, draft.question, chat)
    if len(contexts) == 1:
        contexts = contexts * len(continuations)
    pairs = list(zip(contexts, continuations, strict=True))
    if any(spec.name == "acc_mutual_info" for spec in task.metrics):
        pairs += [("", continuation) for continuation in continuations]
    return Rank(pairs=tuple(pairs))
