"""Write rows and task files for the workloads: English prose that comes with every Python (the language reference of
`pydoc`), cut to the lengths that the benchmarks' own questions, passages and documents have.

A task is one file in lm-eval's format, which both harnesses read.
"""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from pydoc_data import topics
from typing import Any

import yaml

Row = dict[str, Any]
LETTERS = "ABCD"
SHOTS = 5
MOST_NEW_TOKENS = 64


def prose() -> list[str]:
    """The words of all topics in order, punctuation that ends a word included; what is code or markup is left out."""
    text = " ".join(topics.topics[name] for name in sorted(topics.topics))
    return [word for word in text.split() if re.fullmatch(r"[A-Za-z]+[,.;:]?", word)]


class Writer:
    """Draws rows, the same for a seed on one version of Python."""

    def __init__(self, seed: int) -> None:
        self.random, self.words = random.Random(seed), prose()

    def text(self, shortest: int, longest: int) -> str:
        """A stretch of prose of so many words."""
        count = self.random.randint(shortest, longest)
        start = self.random.randrange(len(self.words) - count)
        return " ".join(self.words[start : start + count])

    def letters(self) -> Row:
        """As a question of MMLU: about 70 tokens with its four answers."""
        choices = [self.text(2, 8) for _ in LETTERS]
        return {"question": self.text(14, 30) + "?", "choices": choices, "answer": self.random.randrange(4)}

    def ranked(self, fewest: int, most: int) -> Row:
        """A context of about 100 tokens and choices of several tokens."""
        choices = [self.text(2, 6) for _ in range(self.random.randint(fewest, most))]
        return {"question": self.text(55, 80), "choices": choices, "answer": self.random.randrange(len(choices))}

    def passage(self) -> Row:
        """A passage of about 200 tokens, and a question with yes or no."""
        return {"passage": self.text(110, 150), "question": self.text(6, 12), "answer": self.random.randrange(2)}

    def document(self) -> Row:
        """A document of about 300 tokens, and a summary."""
        return {"document": self.text(170, 220), "summary": self.text(12, 25)}


FORMS: dict[str, Row] = {
    "letters": {
        "doc_to_text": "{{question}}\n"
        + "\n".join(f"{letter}. {{{{choices[{i}]}}}}" for i, letter in enumerate(LETTERS))
        + "\nAnswer:",
        "doc_to_choice": list(LETTERS),
        "description": "The following are multiple choice questions (with answers).\n\n",
        "fewshot_split": "dev",
        "fewshot_config": {"sampler": "first_n"},
        "num_fewshot": SHOTS,
    },
    "ranked": {"doc_to_text": "{{question}}\nAnswer:", "doc_to_choice": "{{choices}}"},
    "passage": {"doc_to_text": "{{passage}}\nQuestion: {{question}}?\nAnswer:", "doc_to_choice": ["no", "yes"]},
    "document": {"doc_to_text": "Document:\n{{document}}\nSummary:", "doc_to_target": "{{summary}}"},
}
CHOOSE: Row = {
    "output_type": "multiple_choice",
    "doc_to_target": "answer",
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    "metadata": {"version": 1.0, "primary": "acc", "margin": 0.05},
}


def summarise(stop: str) -> Row:
    """What a task of summaries has beside its prompt."""
    return {
        "output_type": "generate_until",
        "generation_kwargs": {"until": [stop], "do_sample": False, "max_gen_toks": MOST_NEW_TOKENS},
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
        "metadata": {"version": 1.0, "primary": "exact_match", "margin": 0.05, "chance": 0.0},
    }


def write_task(folder: Path, name: str, form: str, splits: dict[str, list[Row]], stop: str = "\n") -> Path:
    """Write rows and a task file of one of the FORMS; returns the file."""
    rows = folder / "rows" / name
    rows.mkdir(parents=True, exist_ok=True)
    for split, lines in splits.items():
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (rows / f"{split}.jsonl").write_text(text, "utf-8")
    data = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {split: str(rows / f"{split}.jsonl") for split in splits}},
        "test_split": "test",
    }
    path = folder / "tasks" / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    kind = summarise(stop) if form == "document" else CHOOSE
    path.write_text(yaml.safe_dump({**data, **kind, **FORMS[form]}, sort_keys=False), "utf-8")
    return path
