"""Show the first prompts of a task, without and with shots, from rows in files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from evalharness.data.sources import DataSource, check_overrides, locate, not_there
from evalharness.errors import DataError, TaskError
from evalharness.paths import shipped
from evalharness.records.requests import Generate, Rank, Score
from evalharness.records.tasks import Task
from evalharness.tasks.prepare import PromptSettings, prepare

WORLD, BENCHMARKS = "fixtures/world/rows", "fixtures/benchmarks"
GIVE = ("--data-dir DIR", "--data NAME=PATH")
LONGEST = 2000  # characters shown of a prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPrompt:
    """A prompt that is continued or scored, and the right texts."""

    num_fewshot: int
    example: str
    prompt: str
    references: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """Return the prompt, then the right texts, line by line."""
        yield _shortened(self.prompt)
        yield from (f"=== right: {reference!r}" for reference in self.references)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoicePrompt:
    """A prompt with each of its choices, as (context, continuation). `gold` says which of them are right."""

    num_fewshot: int
    example: str
    pairs: tuple[tuple[str, str], ...]
    gold: tuple[int, ...]

    def lines(self) -> Iterator[str]:
        """Return the prompt, then the choices, each marked as right or wrong, line by line."""
        one_context = len({context for context, _ in self.pairs}) == 1
        if one_context:
            yield _shortened(self.pairs[0][0])
        for index, (context, continuation) in enumerate(self.pairs):
            if not one_context:
                yield _shortened(context)
            yield f"=== {'right' if index in self.gold else 'wrong'}: {continuation!r}"


Prompt = TextPrompt | ChoicePrompt


def first_prompts(task: Task, split: str | None, source: DataSource, shots: int) -> tuple[list[Prompt], str]:
    """Return the prompts of the first example, without shots and with `shots` shots, and a note.

    The note is the origin of the rows, or the reason why prompts are missing. Raises DataError and UsageError if the
    user's rows are missing or cannot be rendered.
    """
    shots = shots if task.takes_shots else 0
    if source.data_dir is not None or source.overrides:
        return _prompts_of_users_rows(task, split or task.evaluation_split, source, shots)
    note = f"no rows at hand: give {' or '.join(GIVE)} to see prompts"
    for place, place_split, origin in _places(task, split, source):
        try:
            if locate(task, place_split, place) is None:
                continue
            prompts = [_first(task, place, place_split, 0)]
        except DataError as error:
            note = str(error)
            continue
        try:
            return [*prompts, *([_first(task, place, place_split, shots)] if shots else [])], origin
        except (DataError, TaskError) as error:
            return prompts, f"{origin}; no prompt with shots: {error}".removeprefix("; ")
    return [], note


def _prompts_of_users_rows(task: Task, split: str, source: DataSource, shots: int) -> tuple[list[Prompt], str]:
    """Return the prompts of the user's rows, without a substitute for them."""
    check_overrides([task], source)
    if locate(task, split, source) is None:
        raise not_there(task, source)
    prompts = [_first(task, source, split, 0)]
    try:
        return [*prompts, *([_first(task, source, split, shots)] if shots else [])], ""
    except (DataError, TaskError) as error:
        return prompts, f"no prompt with shots: {error}"


def _places(task: Task, split: str | None, source: DataSource) -> Iterator[tuple[DataSource, str, str]]:
    """Return the sources of rows in order, with split and note: the user's, the embedded world's, a few
    invented ones.
    """
    own = f"give {' or '.join(GIVE)} for your own"
    yield source, split or task.evaluation_split, ""
    yield DataSource(shipped=shipped(WORLD)), split or "test", f"rows of the embedded world; {own}"
    with suppress(FileNotFoundError):  # an installed wheel may not have them
        for folder in (BENCHMARKS, f"{BENCHMARKS}/published"):
            invented = f"invented rows in the form of the real ones; {own}"
            yield DataSource(shipped=shipped(folder)), split or task.evaluation_split, invented


def _first(task: Task, source: DataSource, split: str, shots: int) -> Prompt:
    prepared = prepare(replace(task, metrics=()), source, PromptSettings(num_fewshot=shots, limit=1, split=split))
    example, request = prepared.examples[0], prepared.requests[0]
    if isinstance(request, Generate):
        return TextPrompt(num_fewshot=shots, example=example.id, prompt=request.prompt, references=example.references)
    if isinstance(request, Score):
        return TextPrompt(num_fewshot=shots, example=example.id, prompt=request.text, references=())
    if isinstance(request, Rank):
        return ChoicePrompt(
            num_fewshot=shots, example=example.id, pairs=request.pairs[: len(example.choices)], gold=example.gold
        )
    raise TypeError(f"{type(request).__name__} is no request of a task")


def _shortened(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    half = LONGEST // 2
    return f"{text[:half]}\n[… {len(text) - LONGEST} characters …]\n{text[-half:]}"
