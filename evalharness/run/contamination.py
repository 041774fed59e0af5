"""Find the questions of a run that each candidate saw in training.

`--train-data` names the training rows, else the training.json beside the candidate's weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evalharness import fingerprint, results
from evalharness.analysis.overlap import Hit, Index, Item, TrainingOverlap, merge_hits
from evalharness.analysis.overlap_words import own_texts
from evalharness.checkpoints.files import RECORDS, TRAINING
from evalharness.data.grouping import group_rows
from evalharness.data.sources import DataSource, read_rows
from evalharness.data.streams import TextRow, files_at, text_rows, texts_in
from evalharness.errors import DataError, EvalHarnessError
from evalharness.json_text import parse_json
from evalharness.records.job import Job
from evalharness.records.models import Checkpoint
from evalharness.records.requests import Example, row_of
from evalharness.records.tasks import OutputType, Task
from evalharness.run.plan import RunPlan
from evalharness.tasks.library import Library
from evalharness.tasks.prepare import PromptSettings, TrainingPairs, prepare, training_pairs
from evalharness.tasks.variants import with_wording

OPTION = "--train-data"
EVERY = "all"  # the wording of a training that used every wording
ROWS = "rows"  # the folder of a sweep with the rows that it held out and those that it trained on
SELECTED = "selected on"
MOST_BYTES = 1 << 30  # of a file that a training.json names


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSource:
    """One source of training rows: a file, or a task's split, as a training.json states it.

    `source`: the entry in training.json. `wording`: the name of the task's prompt template in training, None for its
    own. `folder`: the candidate's, for relative paths. `selected`: the candidate did not learn these rows, but its
    weights were selected by them.
    """

    source: Mapping[str, Any]
    wording: str | None
    folder: Path
    selected: bool = False

    @property
    def name(self) -> Any:
        """Return the name of the file or of the task."""
        return self.source.get("path") if self.source.get("kind") == "file" else self.source.get("name")

    @property
    def digest(self) -> Any:
        """Return the digest of the rows at training; for a validation file, that of the file. None in older records."""
        return self.source.get("file_digest" if self.selected and self.source.get("kind") == "file" else "digest")


def with_overlaps(job: Job, run_plan: RunPlan) -> RunPlan:
    """Find for every candidate the questions that were in its training rows, if these are known, and add them to the
    plan.

    A notice is added for each source that could not be searched. Raises DataError naming file and line for rows of
    `--train-data` that cannot be read.
    """
    names = [candidate.name for candidate in run_plan.candidates]
    paths = {
        name: path
        for name in names
        if (path := job.models.train_data.get(name, job.models.train_data.get(""))) is not None
    }
    stated = {
        candidate.name: stated_sources(candidate) for candidate in run_plan.candidates if candidate.name not in paths
    }
    if not paths and not any(sources or notices for sources, notices in stated.values()):
        return run_plan
    search = _Search(run_plan, job)
    overlaps = {
        name: search.in_path(paths[name]) if name in paths else search.in_sources(*stated[name]) for name in names
    }
    notices = [f"{name}: {notice}" for name, overlap in overlaps.items() for notice in overlap.notices]
    overlaps = {name: overlap for name, overlap in overlaps.items() if overlap.sources or overlap.notices}
    return replace(run_plan, overlaps=overlaps, notices=(*run_plan.notices, *notices))


def stated_sources(candidate: Checkpoint) -> tuple[tuple[TrainingSource, ...], tuple[str, ...]]:
    """List the sources of training rows in the training.json of a candidate and of every checkpoint that it was trained
    after or merged from. The notices name the checkpoints that have no record.
    """
    sources, notices, folders, visited = list[TrainingSource](), list[str](), list[Path](), set[Path]()
    folders += [] if candidate.endpoint else [candidate.path]
    while folders:
        folder = folders.pop(0)
        if folder.resolve() in visited:
            continue
        visited.add(folder.resolve())
        facts = _facts(folder)
        sources += _sources_of(folder, facts)
        for how, before in _made_of(facts):
            folders.append(folder / before)
            if not any((folder / before / record).is_file() for record in RECORDS):
                notices.append(f"it was {how} {before}, whose own training rows are not known here")
    return tuple(sorted(sources, key=lambda each: each.selected)), tuple(notices)


def _sources_of(folder: Path, facts: Mapping[str, Any]) -> list[TrainingSource]:
    data = facts.get("data")
    listed = data.get("sources") if isinstance(data, Mapping) else None
    wording = recipe.get("template") if isinstance(recipe := facts.get("recipe"), Mapping) else None
    sources = [
        TrainingSource(source=source, wording=wording, folder=folder)
        for source in (listed if isinstance(listed, list) else ())
        if isinstance(source, Mapping)
    ]
    validation = data.get("validation") if isinstance(data, Mapping) else None
    if isinstance(validation, Mapping) and validation.get("kind") in ("file", "task"):  # a fraction is of those above
        sources.append(TrainingSource(source=validation, wording=wording, folder=folder, selected=True))
    return sources


def _made_of(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """List the checkpoints that one was trained after or merged from: how it was made, and their relative paths."""
    after, parents = facts.get("after"), facts.get("parents")
    paths = [("trained after", after.get("path") if isinstance(after, Mapping) else after)]
    paths += [("merged from", each.get("path")) for each in parents or () if isinstance(each, Mapping)]
    return [(how, path) for how, path in paths if isinstance(path, str)]


def _facts(folder: Path) -> Mapping[str, Any]:
    """Read a training.json or merge.json; return {} if it cannot be read, because recognising the candidate reports
    that error.
    """
    for record in RECORDS:
        try:
            facts = parse_json((folder / record).read_text(encoding="utf-8"), finite=False)
        except (OSError, ValueError):
            continue
        return facts if isinstance(facts, dict) else {}
    return {}


class _Search:
    """An index of one plan's questions, and the rows that match them in each source. Every source is searched once."""

    def __init__(self, run_plan: RunPlan, job: Job) -> None:
        self.run_plan, self.library = run_plan, Library(job.tasks.include)
        self.index = Index(
            [item for task in run_plan.judged_tasks for item in _items(run_plan, task, job.statistics.seed)]
        )
        self.hits_by_source: dict[str, tuple[dict[int, Hit], int]] = {}
        self._pairs: dict[tuple[str, str, str | None], TrainingPairs] = {}
        here = [Path.cwd()] if Path.cwd() != Path(Path.cwd().anchor) else []  # every file is below the root
        self.places = [*here, *filter(None, [job.data.folder]), *job.data.overrides.values()]

    def in_path(self, path: Path) -> TrainingOverlap:
        """Find the questions in the rows at `path`. Raises DataError."""
        hits, rows = self._hits(str(path.resolve()), lambda: text_rows(path))
        digests = [fingerprint.of_file(file) for file in files_at(path)]
        digest = digests[0] if len(digests) == 1 else fingerprint.of_value(digests)
        return self._overlap([({"kind": "file", "name": path.name, "digest": digest, "rows": rows}, hits)], [])

    def in_sources(self, sources: tuple[TrainingSource, ...], notices: tuple[str, ...]) -> TrainingOverlap:
        """Find the questions in the sources of a training.json, with a notice for each source that is missing,
        unreadable, or has changed.
        """
        by_source, messages = list[tuple[dict[str, Any], dict[int, Hit]]](), list(notices)
        for each in sources:
            try:
                label, rows, digest = (
                    _file(each, [each.folder, *self.places]) if each.source.get("kind") == "file" else self._task(each)
                )
                hits, count = self._hits(f"{label['kind']} {each.name} {label.get('split')} {digest}", rows)
            except (EvalHarnessError, OSError, KeyError, TypeError) as error:
                reason = f"{TRAINING} does not tell it apart ({type(error).__name__})"
                reason = str(error) if isinstance(error, EvalHarnessError) else reason
                what = f"what it was {_use_of_rows(each)} on is not at hand, so overlap with it is not known"
                messages.append(f"{what}: {each.name} ({reason})")
                continue
            if digest != each.digest:
                what = f"{each.name} is not, or not surely, what it was {_use_of_rows(each)} on"
                messages.append(f"{what}: the rows have another digest than {TRAINING} says")
            if each.selected:
                label["use"] = SELECTED
                messages += _selected(each, set(hits) - {number for _, of in by_source for number in of})
            by_source.append(({**label, "digest": digest, "rows": count}, hits))
        return self._overlap(by_source, messages)

    def _task(self, stated: TrainingSource) -> tuple[dict[str, str], Any, str]:
        """Read the rows of a task's split: their columns, and training's prompts and answers from them.

        A sweep trains on the rows that it did not hold out, and writes these beside its candidates.
        """
        name, split, source = str(stated.source["name"]), str(stated.source["split"]), self.run_plan.source
        task = self.library.task(name)
        trained = with_wording(task, stated.wording) if stated.wording and stated.wording in task.templates else task
        label = {"kind": "task", "name": name, "split": split}
        place = stated.folder.resolve().parent.parent / ROWS / results.file_name(name)
        if (place / f"{split}.jsonl").is_file():
            remaining = replace(source, overrides={**source.overrides, name: place})
            if (pairs := training_pairs(trained, remaining, split)).digest == stated.digest:
                return label, lambda: _split(task, split, remaining, pairs), pairs.digest
        key = (name, split, stated.wording)
        pairs = self._pairs[key] = self._pairs.get(key) or training_pairs(trained, source, split)
        digest = "" if stated.wording == EVERY and task.templates else pairs.digest
        return label, lambda: _split(task, split, source, pairs), digest

    def _hits(self, key: str, rows: Any) -> tuple[dict[int, Hit], int]:
        if key not in self.hits_by_source:
            self.hits_by_source[key] = self.index.search(rows())
        return self.hits_by_source[key]

    def _overlap(self, by_source: list[tuple[dict[str, Any], dict[int, Hit]]], notices: list[str]) -> TrainingOverlap:
        hits: dict[str, dict[int, Hit]] = {}
        for _, of in by_source:
            for number, hit in of.items():
                item = self.index.items[number]
                of_task = hits.setdefault(item.task, {})
                of_task[item.index] = merge_hits(of_task[item.index], hit) if item.index in of_task else hit
        return TrainingOverlap(
            sources=tuple(label for label, _ in by_source),
            hits={task: dict(sorted(of.items())) for task, of in hits.items()},
            notices=tuple(notices),
        )


def _use_of_rows(stated: TrainingSource) -> str:
    return SELECTED.removesuffix(" on") if stated.selected else "fine-tuned"


def _selected(stated: TrainingSource, numbers: set[int]) -> list[str]:
    """Return notices on how many questions are among the rows that weights were selected by, and not among those
    learned.
    """
    if not numbers:
        return []
    verb = "question stands" if len(numbers) == 1 else "questions stand"
    where = f"not among the rows that it was trained on, but among those that it was {SELECTED}"
    return [f"{len(numbers)} {verb} in {stated.name}, {where}"]


def _file(stated: TrainingSource, places: Sequence[Path]) -> tuple[dict[str, str], Any, str]:
    """Read a file that a training.json names, which may be any path of this machine: a file outside the candidate's
    folder and the `places` is read only if its digest is that of the training. Raises DataError.
    """
    path, fix = stated.folder / Path(str(stated.source["path"])), f"{OPTION} reads it where you name it"
    if path.is_dir():
        raise DataError(path, f"is a folder, which is not searched because {TRAINING} says so", fix)
    files_at(path)
    if (size := path.stat().st_size) > MOST_BYTES:
        raise DataError(path, f"has {size} bytes, more than the {MOST_BYTES} that {TRAINING} may ask for", fix)
    digest = fingerprint.of_file(path)
    if digest != stated.digest and not any(path.resolve().is_relative_to(place.resolve()) for place in places):
        what = f"is not read: it has another digest than {TRAINING} says, and is neither the candidate's nor the run's"
        raise DataError(path, what, fix)
    return {"kind": "file", "name": path.name}, lambda: text_rows(path), digest


def _split(task: Task, split: str, source: DataSource, pairs: TrainingPairs) -> Iterator[TextRow]:
    rows = group_rows(read_rows(task, split, source), task).rows
    if len(rows) != len(pairs.pairs):
        raise DataError(
            task.name, f"its split {split!r} changed while it was read", "leave the files alone during a run"
        )
    for index, (row, pair) in enumerate(zip(rows, pairs.pairs, strict=True)):
        yield TextRow((*texts_in(row), *pair), f"{task.name}, split {split}, row {index}")


def _items(run_plan: RunPlan, task: Task, seed: int) -> Iterator[Item]:
    """Yield the questions of a task without few-shot examples, each with and without the task's description."""
    settings = PromptSettings(num_fewshot=0, limit=run_plan.limit_of(task), seed=seed, split=run_plan.split)
    rows = run_plan.rows_of(task)
    bare = prepare(replace(task, description=""), run_plan.source, settings).examples
    whole = prepare(task, run_plan.source, settings).examples if task.description else bare
    for example, described in zip(bare, whole, strict=True):
        index = row_of(example.id)
        forms = tuple(dict.fromkeys((*_questions(example), *_questions(described))))
        texts = [text for form in _questions(example) for text in own_texts(tuple(texts_in(rows[index])), form)]
        answers = (
            ()
            if task.output_type == OutputType.LOGLIKELIHOOD_ROLLING
            else example.references or tuple(example.choices[gold] for gold in example.gold)
        )
        yield Item(task=task.name, index=index, texts=tuple(dict.fromkeys(texts)), forms=forms, answers=answers)


def _questions(example: Example) -> tuple[str, ...]:
    """List the text of an example's question: the prompt, or the references if a text is scored whole."""
    return (example.prompt,) if example.prompt else example.references
