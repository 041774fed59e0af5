"""Pack examples whose answers changed into the page's JSON, within a budget of bytes.

Each has the answers of the base and of all candidates. Lost ones come first, then the largest changes of every (task,
candidate).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile, zip_longest
from typing import Any

from evalharness.records.measurements import Sample
from evalharness.records.results import Flip
from evalharness.report import wording

PER_PAIR = 200  # most examples of one (task, candidate)
PROMPT_CHARACTERS, TEXT_CHARACTERS = 2400, 1600
DIRECTIONS = ("same", "lost", "gained")  # their numbers in the island


@dataclass(frozen=True, slots=True, kw_only=True)
class Island:
    """The packed examples of the page.

    `json`: their text, which is safe inside a script element. `count`: examples packed; `total`: all examples. `pairs`:
    each (task, candidate) with packed examples whose answer changed, with the task's number in the list.
    """

    json: str
    count: int
    total: int
    pairs: dict[tuple[str, str], int]


@dataclass(frozen=True, slots=True)
class _Example:
    """One example of a task, with the answers of its candidates."""

    task: str
    flips: tuple[Flip, ...]

    @property
    def lost(self) -> int:
        return sum(flip.direction == "lost" for flip in self.flips)


@dataclass(slots=True, kw_only=True)
class _Packer:
    """The rows packed so far, and the texts that they refer to. Each text is stored once, since candidates share
    prompts and the base's outputs.

    `budget`, `size`: bytes allowed and used. `tasks`, `candidates`: their numbers by name. `texts`: the number of each
    text.
    """

    budget: int
    tasks: Mapping[str, int]
    candidates: Mapping[str, int]
    size: int = 0
    texts: dict[str, int] = field(default_factory=dict)
    rows: list[list[Any]] = field(default_factory=list)

    def add(self, example: _Example) -> bool:
        """Add the example unless it would exceed the budget; return whether it was added."""
        base, sample = example.flips[0].base, example.flips[0].sample
        prompt = wording.shortened(wording.visible(base.prompt), PROMPT_CHARACTERS)
        shown_texts = [
            _text(sample.reference),
            _text(_answer(base)),
            *(_text(_answer(flip.sample)) for flip in example.flips),
        ]
        new = [text for text in dict.fromkeys([prompt, *shown_texts]) if text not in self.texts]
        size = sum(len(_dumped(text)) + 1 for text in new) + len(_dumped(sample.id)) + 40 + 24 * len(example.flips)
        if self.size + size > self.budget:
            return False
        self.size += size
        for text in new:
            self.texts[text] = len(self.texts)
        numbers = [self.texts[text] for text in (prompt, *shown_texts)]
        answers = [
            [self.candidates[flip.candidate], DIRECTIONS.index(flip.direction), number, _number(flip.sample.score)]
            for flip, number in zip(example.flips, numbers[3:], strict=True)
        ]
        cut = int(any(each.truncated for flip in example.flips for each in (flip.base, flip.sample)))
        name = wording.one_line(sample.id)
        self.rows.append([self.tasks[example.task], name, *numbers[:3], _number(base.score), cut, answers])
        return True


def pack(flips: Sequence[Flip], candidates: Sequence[str], budget: int) -> Island:
    """Pack as many examples as fit into `budget` bytes, taken in turns from every (task, candidate), so that none
    crowds out the others. Those that most candidates lost come first.
    """
    tasks = {task: i for i, task in enumerate(dict.fromkeys(flip.task for flip in flips))}
    examples, queues = _examples(flips), dict[tuple[str, str], list[tuple[tuple[bool, float], int]]]()
    for i, example in enumerate(examples):
        for flip in example.flips:
            if flip.direction != "same":
                queues.setdefault((flip.task, flip.candidate), []).append((_rank(flip), i))
    packer = _Packer(budget=budget, tasks=tasks, candidates={name: i for i, name in enumerate(candidates)})
    packed: dict[int, None] = {}
    for turn in zip_longest(*(sorted(queue)[:PER_PAIR] for queue in queues.values())):
        new = dict.fromkeys(entry[1] for entry in turn if entry is not None and entry[1] not in packed)
        added = list(takewhile(lambda i: packer.add(examples[i]), new))
        packed.update(dict.fromkeys(added))
        if len(added) < len(new):
            break
    lost = (-examples[i].lost for i in packed)
    ranked = sorted(zip(lost, packer.rows, strict=True), key=lambda pair: (pair[0], pair[1][0]))
    content = {
        "candidates": [wording.one_line(name) for name in candidates],
        "tasks": [wording.one_line(task) for task in tasks],
        "texts": list(packer.texts),
        "rows": [row for _, row in ranked],
    }
    shown_pairs = {
        (flip.task, flip.candidate) for i in packed for flip in examples[i].flips if flip.direction != "same"
    }
    pairs = {pair: tasks[pair[0]] for pair in queues if pair in shown_pairs}
    return Island(json=_dumped(content), count=len(packer.rows), total=len(examples), pairs=pairs)


def _examples(flips: Sequence[Flip]) -> list[_Example]:
    """Group the flips by example, in order of their first flip; another answer of the base makes another example."""
    groups: dict[tuple[str, ...], dict[str, Flip]] = {}
    for flip in flips:
        groups.setdefault((flip.task, flip.base.id, flip.base.prompt, flip.base.output), {}).setdefault(
            flip.candidate, flip
        )
    examples = (_Example(task, tuple(of.values())) for (task, *_), of in groups.items())
    return [each for each in examples if any(flip.direction != "same" for flip in each.flips)]


def _rank(flip: Flip) -> tuple[bool, float]:
    before, after = flip.base.score, flip.sample.score
    change = (
        abs(after - before)
        if before is not None and after is not None and math.isfinite(before) and math.isfinite(after)
        else 0.0
    )
    return flip.direction == "gained", -change


def _text(text: str) -> str:
    return wording.shortened(wording.visible(text), TEXT_CHARACTERS)


def _answer(sample: Sample) -> str:
    return sample.output if sample.error is None else f"[no answer: {sample.error}]"


def _number(score: float | None) -> float | None:
    return round(score, 4) if score is not None and math.isfinite(score) else None


def _dumped(value: Any) -> str:
    """Return JSON in ASCII in which no character can end a script element or begin a comment."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
