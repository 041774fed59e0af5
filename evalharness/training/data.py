"""Gather a training set from tasks and files: the target's examples, those of other tasks, and validation examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from evalharness import fingerprint
from evalharness.data.sources import DataSource
from evalharness.errors import DataError, TaskError, UsageError, did_you_mean
from evalharness.records.tasks import Task
from evalharness.tasks.library import Library
from evalharness.tasks.prepare import training_pairs
from evalharness.tasks.variants import with_wording
from evalharness.training.example_file import Example, first_place, read_examples
from evalharness.training.methods import flag
from evalharness.training.recipe import EVERY, Recipe

Examples = tuple[Example, ...]
Source = Mapping[str, Any]
"""{"kind": "task", "name", "split", "digest"} or {"kind": "file", "path", "digest", "forms": rows by form}"""
WORDS, HELD_OUT = 7001, 7002  # parts of seeds, so that no two draws are the same


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSet:
    """The examples of a training: pairs of prompt and completion, or conversations.

    `counts`: task or file -> number of examples, the target (the task to learn) first. `validation`: the examples to
    validate on. `sources`: the tasks and files of all examples. `validation_source`: that of `validation`, {} without
    one. `read`: (name, rows in order) of every task's split.
    """

    examples: Examples
    counts: Mapping[str, int]
    validation: Examples = ()
    sources: tuple[Source, ...] = ()
    validation_source: Mapping[str, Any] = field(default_factory=dict)
    read: tuple[tuple[str, Examples], ...] = ()

    @property
    def digest(self) -> str:
        """Return the digest of the examples in order."""
        return fingerprint.of_value(self.examples)

    def place_of(self, example: Example) -> str:
        """Return where an example was read: the row of a task or the line of a file; if neither is known, its answer's
        beginning.
        """
        return self.first_place([example])

    def first_place(self, examples: Sequence[Example]) -> str:
        """Return the place of the first of some examples, in the order in which they were read."""
        distinct = set(examples)
        for name, rows in self.read:
            if (row := next((index for index, each in enumerate(rows) if each in distinct), None)) is not None:
                return f"{name}, row {row}"
        files = [source["path"] for source in self.sources if source["kind"] == "file"]
        return first_place(examples, [*files, *filter(None, [self.validation_source.get("path")])])

    @property
    def tasks(self) -> tuple[str, ...]:
        """Return the tasks among the sources."""
        return tuple(source["name"] for source in self.sources if source["kind"] == "task")


def gather(recipe: Recipe, library: Library, source: DataSource) -> TrainingSet:
    """Gather all examples that the recipe names: the target's training split or the file, shares of other tasks, and
    validation rows.

    A mixed or replayed name may be a task, a group, a tag or a suite; its share is then divided equally among its tasks
    (without the target). Raises TaskError for an unknown task or one without a training split, DataError for missing or
    empty rows, UsageError for impossible shares, prompt templates (wordings) and validation rows.
    """
    gatherer = _Gatherer(recipe, library, source)
    learned = gatherer.learned()
    validation, validation_source = gatherer.validation()
    if recipe.validation is not None:
        learned, validation = _split(learned, recipe.validation, recipe.seed)
        validation_source = {"kind": "fraction", "fraction": recipe.validation}
    shares = gatherer.shares()
    others = {name: (share, gatherer.task(name, "train")) for name, share in shares.items()}
    gatherer.check_wordings()
    mixed = replace(mix(recipe.learned, learned, others, recipe.seed), sources=tuple(gatherer.sources))
    mixed = replace(mixed, read=tuple(gatherer.read))
    if not validation:
        return mixed
    validation_source |= {"examples": len(validation), "digest": fingerprint.of_value(validation)}
    return replace(mixed, validation=validation, validation_source=validation_source)


class _Gatherer:
    """Reads the examples of one recipe, and records their sources and the prompt templates (wordings) of its tasks."""

    def __init__(self, recipe: Recipe, library: Library, source: DataSource) -> None:
        self.recipe, self.library, self.source = recipe, library, source
        self.sources: list[Source] = []
        self.wordings: dict[str, None] = {}
        self.read: list[tuple[str, Examples]] = []

    def learned(self) -> Examples:
        """Read the examples of the target or of the training file."""
        if self.recipe.target:
            self.library.task(self.recipe.target)
        return self.file(self.recipe.train_file) if self.recipe.train_file else self.task(self.recipe.target, "train")

    def file(self, path: str) -> Examples:
        """Read the examples of a file."""
        read = read_examples(Path(path))
        source = {"kind": "file", "path": str(Path(path).resolve()), "digest": read.digest, "forms": read.forms}
        self.sources.append(source)
        return read.examples

    def task(self, name: str, use: str) -> Examples:
        """Read a task's solved examples, of its training or validation split, with the recipe's prompt templates."""
        task = self.library.task(name)
        split = task.training_split if use == "train" else task.validation_split
        if split is None:
            raise TaskError(
                task.source, "names no training_split", "train on a task that has one, or add it to the file"
            )
        self.wordings |= dict.fromkeys(task.templates)
        by_wording = [training_pairs(each, self.source, split) for each in self._worded(task)]
        if not by_wording[0].pairs:
            raise DataError(task.name, f"its split {split!r} has no rows", "give rows with --data or --data-dir")
        pairs = _spread([each.pairs for each in by_wording], self.recipe.seed)
        self.read.append((f"{task.name}, split {split!r}", pairs))
        if use == "train":
            digest = by_wording[0].digest if len(by_wording) == 1 else fingerprint.of_value(pairs)
            self.sources.append({"kind": "task", "name": name, "split": split, "digest": digest})
        return pairs

    def _worded(self, task: Task) -> list[Task]:
        """Return the task with each prompt template of the recipe."""
        wording = self.recipe.template
        if wording == EVERY:
            return [task, *(with_wording(task, each) for each in task.templates)]
        return [with_wording(task, wording) if wording is not None and wording in task.templates else task]

    def validation(self) -> tuple[Examples, dict[str, Any]]:
        """Read the examples to validate on, and their source: the validation file, else the task's validation split if
        the recipe needs validation losses.
        """
        if self.recipe.validation_file:
            path = Path(self.recipe.validation_file)
            examples, digest, forms = read_examples(path)
            return examples, {"kind": "file", "path": str(path.resolve()), "file_digest": digest, "forms": forms}
        if not self.recipe.validates or self.recipe.validation is not None:
            return (), {}
        if wrong := self._without_validation_split():
            option = flag("eval_every" if self.recipe.eval_every else "patience")
            raise UsageError(
                option, wrong, "hold some training rows out with --validation 0.1, or give --validation-file"
            )
        task = self.library.task(self.recipe.target)
        source = {"kind": "task", "name": task.name, "split": task.validation_split}
        return self.task(task.name, "validation"), source

    def _without_validation_split(self) -> str:
        """Return why there is no split to validate on; "" if there is one."""
        if self.recipe.train_file:
            return "there are no validation examples"
        task = self.library.task(self.recipe.target)
        if task.validation_split is None or task.validation_split == task.training_split:
            return f"{task.name} has no validation split of its own"
        if task.validation_split == task.evaluation_split:
            why = "weights chosen by it would look better than they are"
            return f"{task.name} is evaluated on its validation split: {why}"
        return ""

    def shares(self) -> dict[str, float]:
        """Compute each task's fraction of the whole set, without the target."""
        recipe, shares = self.recipe, dict[str, float]()
        weights = {name: weight for name, weight in recipe.mix.items() if name != recipe.target}
        total = sum(weights.values()) + recipe.mix.get(recipe.target, 1.0)
        rest = 1.0 - sum(recipe.replay.values())
        mixed = {name: rest * weight / total for name, weight in weights.items()}
        for option, of_option in (("--mix", mixed), ("--replay", recipe.replay)):
            for name, share in of_option.items():
                tasks = self._others(option, name)
                for task in tasks:
                    shares[task.name] = shares.get(task.name, 0.0) + share / len(tasks)
        return shares

    def _others(self, option: str, name: str) -> tuple[Task, ...]:
        tasks = self.library.select(self.library.suite(name).tasks if name in self.library.suites() else [name])
        others = tuple(task for task in tasks if task.name != self.recipe.target)
        if not others:
            raise UsageError(
                f"{option} {name}", "is the target itself", "name tasks that the candidate should not forget"
            )
        return others

    def check_wordings(self) -> None:
        """Raise UsageError if no task has the recipe's prompt template."""
        wording = self.recipe.template
        if wording is not None and not self.wordings:
            raise UsageError("--template", "no task of this training has another wording", "leave it out")
        if wording not in (None, EVERY, *self.wordings):
            raise UsageError(
                "--template",
                f"no task of this training has a wording {wording!r}",
                did_you_mean(str(wording), (*self.wordings, EVERY)),
            )


def mix(target: str, examples: Examples, others: Mapping[str, tuple[float, Examples]], seed: int) -> TrainingSet:
    """Mix all examples of the target with as many of each other task as make its fraction of the whole, in a seeded
    order.

    With n target examples and fractions f, the whole has n / (1 - sum f) examples. Another task is drawn without
    replacement, and starts again once all its rows are used.
    """
    whole = len(examples) / (1.0 - sum(fraction for fraction, _ in others.values()))
    mixed, counts = list(examples), {target: len(examples)}
    for place, (name, (fraction, old)) in enumerate(sorted(others.items())):
        number = round(whole * fraction)
        mixed += [old[index] for index in _draw(len(old), number, np.random.default_rng([seed, place]))]
        counts[name] = counts.get(name, 0) + number
    order = np.random.default_rng(seed).permutation(len(mixed))
    return TrainingSet(examples=tuple(mixed[index] for index in order), counts=counts)


def _draw(available: int, number: int, rng: np.random.Generator) -> Sequence[int]:
    indices: list[int] = []
    while len(indices) < number:
        indices += rng.permutation(available)[: number - len(indices)].tolist()
    return indices


def _spread(wordings: Sequence[Examples], seed: int) -> Examples:
    """Take every row once, equally many with each prompt template; the seed draws which."""
    if len(wordings) == 1:
        return wordings[0]
    places = np.random.default_rng([seed, WORDS]).permutation(len(wordings[0])) % len(wordings)
    return tuple(wordings[place][index] for index, place in enumerate(places))


def _split(examples: Examples, fraction: float, seed: int) -> tuple[Examples, Examples]:
    """Split into (training, held out): the seed draws the fraction, at least one example. Equal examples stay together,
    so that none is on both sides. Raises UsageError.
    """
    times, held_out = Counter(examples), set[Example]()
    number = max(1, round(fraction * len(examples)))
    for index in np.random.default_rng([seed, HELD_OUT]).permutation(len(examples)):
        if number <= 0:
            break
        number -= times[examples[index]] if examples[index] not in held_out else 0
        held_out.add(examples[index])
    training = tuple(each for each in examples if each not in held_out)
    if not training:
        raise UsageError(
            "--validation",
            f"{fraction:g} of {len(examples)} examples leaves none to train on",
            "a smaller fraction, or more examples",
        )
    return training, tuple(each for each in examples if each in held_out)
