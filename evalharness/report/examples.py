"""Pack changed answers into the JSON that the page carries: lost ones first, the largest changes of every (task,
candidate) first, within a budget of bytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from evalharness.records.measurements import Sample
from evalharness.records.results import Flip
from evalharness.report import wording

PER_PAIR = 200  # most examples of one (task, candidate)
PROMPT_CHARACTERS, TEXT_CHARACTERS = 2400, 1600


@dataclass(frozen=True, slots=True, kw_only=True)
class Island:
    """What the page carries. `pairs`: (task, candidate) with examples, to the task's number; `json` is safe inside a
    script element.
    """

    json: str
    shown: int
    total: int
    pairs: dict[tuple[str, str], int]


@dataclass(slots=True, kw_only=True)
class _Packer:
    """Rows and the texts they point to; each text is kept once (candidates share prompts and the base's outputs)."""

    budget: int
    size: int = 0
    texts: dict[str, int] = field(default_factory=dict)
    rows: list[list[Any]] = field(default_factory=list)

    def add(self, flip: Flip, task: int, candidate: int) -> bool:
        """Take the flip in, unless its bytes would go beyond the budget."""
        most = (PROMPT_CHARACTERS, TEXT_CHARACTERS, TEXT_CHARACTERS, TEXT_CHARACTERS)
        raw = (flip.sample.prompt, flip.sample.reference, _answer(flip.base), _answer(flip.sample))
        texts = [wording.shortened(wording.visible(text), limit) for text, limit in zip(raw, most, strict=True)]
        new = [text for text in dict.fromkeys(texts) if text not in self.texts]
        size = sum(len(_dumped(text)) + 1 for text in new) + len(_dumped(flip.sample.id)) + 60
        if self.size + size > self.budget:
            return False
        self.size += size
        for text in new:
            self.texts[text] = len(self.texts)
        scores = [_number(flip.base.score), _number(flip.sample.score)]
        cut = int(flip.sample.truncated or flip.base.truncated)
        self.rows.append(
            [
                candidate,
                task,
                int(flip.direction == "gained"),
                wording.one_line(flip.sample.id),
                *(self.texts[text] for text in texts),
                *scores,
                cut,
            ]
        )
        return True


def pack(flips: Sequence[Flip], candidates: Sequence[str], budget: int) -> Island:
    """As many flips as `budget` bytes hold, taken in turns from every (task, candidate), so that none crowds out the
    others.
    """
    tasks = list(dict.fromkeys(flip.task for flip in flips))
    queues: dict[tuple[str, str], list[Flip]] = {}
    for flip in flips:
        queues.setdefault((flip.task, flip.candidate), []).append(flip)
    packer = _Packer(budget=budget)
    chosen: set[tuple[str, str]] = set()
    full = False
    for turn in zip_longest(*(sorted(queue, key=_rank)[:PER_PAIR] for queue in queues.values())):
        for flip in turn:
            if flip is None or full:
                continue
            full = not packer.add(flip, tasks.index(flip.task), candidates.index(flip.candidate))
            if not full:
                chosen.add((flip.task, flip.candidate))
    packer.rows.sort(key=lambda row: (row[2], row[1], row[0]))
    content = {
        "candidates": [wording.one_line(name) for name in candidates],
        "tasks": [wording.one_line(task) for task in tasks],
        "texts": list(packer.texts),
        "rows": packer.rows,
    }
    pairs = {pair: tasks.index(pair[0]) for pair in queues if pair in chosen}
    return Island(json=_dumped(content), shown=len(packer.rows), total=len(flips), pairs=pairs)


def _rank(flip: Flip) -> tuple[bool, float]:
    before, after = flip.base.score, flip.sample.score
    change = (
        abs(after - before)
        if before is not None and after is not None and math.isfinite(before) and math.isfinite(after)
        else 0.0
    )
    return flip.direction == "gained", -change


def _answer(sample: Sample) -> str:
    return sample.output if sample.error is None else f"[no answer: {sample.error}]"


def _number(score: float | None) -> float | None:
    return round(score, 4) if score is not None and math.isfinite(score) else None


def _dumped(value: Any) -> str:
    """JSON in ASCII in which no character can end a script element or begin a comment."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
