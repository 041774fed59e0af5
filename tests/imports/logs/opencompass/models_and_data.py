"""A model that answers rightly as often as its name says, and rows from JSON lines, as opencompass takes them."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import numpy as np
from datasets import Dataset, DatasetDict
from opencompass.datasets.base import BaseDataset
from opencompass.models.base import BaseModel

SHARES = {"base": 0.75, "tuned": 0.5}  # of right answers


def draw(*parts: object) -> float:
    """A number from 0 to 1 that only depends on the parts."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:6], "big") / 2**48


def stripped(text: str) -> str:
    return text.strip()


class Drawn(BaseModel):
    def get_token_len(self, prompt: str) -> int:
        return len(prompt.split())

    def generate(self, inputs: list, max_out_len: int, **_: object) -> list[str]:
        return [self.answer(str(prompt)) for prompt in inputs]

    def answer(self, prompt: str) -> str:
        right = draw(self.path, prompt) < SHARES[self.path]
        if "Say" in prompt:
            said = prompt.partition(": ")[2].split()
            return " ".join(said if right else said[:2])
        return f" {sum(map(int, re.findall(r'[0-9]+', prompt))) + (0 if right else 1)}\n"

    def get_ppl(self, inputs: list, mask_length: object = None) -> np.ndarray:
        return np.array([self.perplexity(str(prompt)) for prompt in inputs])

    def perplexity(self, prompt: str) -> float:
        number, _, said = prompt.partition(" is ")
        right = draw(self.path, number) < SHARES[self.path]
        even = int(number) % 2 == 0
        return 1.5 + draw(prompt) + (0 if (said.strip() == "even") == (even if right else not even) else 2)


class JsonLines(BaseDataset):
    @staticmethod
    def load(path: str, **_: object) -> DatasetDict:
        rows = [json.loads(line) for line in Path(path).read_text().splitlines()]
        return DatasetDict({"train": Dataset.from_list(rows), "test": Dataset.from_list(rows)})
