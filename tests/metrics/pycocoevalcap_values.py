"""Record what pycocoevalcap gives for random and degenerate corpora, in pycocoevalcap_values.json.

pip install pycocoevalcap==1.2    # 104 MB, most of it other metrics' Java programs
python tests/metrics/pycocoevalcap_values.py
"""

from __future__ import annotations

import json
import random
from pathlib import Path

from pycocoevalcap.cider.cider import Cider

WORDS = ("the", "cat", "sat", "on", "a", "mat", "dog", "ran", "home", "cheap", "food", "river")
DEGENERATE = [
    ([""], [["a b"]]),
    (["a b"], [["a b"]]),
    (["a b", "c d"], [["a b"], ["c d"]]),
    (["", ""], [["", ""], ["a"]]),
    (["a a a a a", "b"], [["a"], ["a a"]]),
    (["a b c d e", "a b c d e"], [["a b c d e"], ["a b c d e"]]),
]


def text(draw: random.Random) -> str:
    return " ".join(draw.choice(WORDS) for _ in range(draw.randrange(9)))


def corpora() -> list[tuple[list[str], list[list[str]]]]:
    draw = random.Random(0)
    drawn = []
    for _ in range(40):
        size = draw.randrange(1, 6)
        references = [[text(draw) for _ in range(draw.randrange(1, 4))] for _ in range(size)]
        outputs = [draw.choice([text(draw), draw.choice(texts)]) for texts in references]
        drawn.append((outputs, references))
    return [*DEGENERATE, *drawn]


def main() -> None:
    records = []
    for outputs, references in corpora():
        _, scores = Cider(n=4, sigma=6.0).compute_score(
            dict(enumerate(references)), {at: [output] for at, output in enumerate(outputs)}
        )
        records.append({"outputs": outputs, "references": references, "scores": [float(score) for score in scores]})
    lines = ",\n".join(json.dumps(record) for record in records)
    (Path(__file__).parent / "pycocoevalcap_values.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
