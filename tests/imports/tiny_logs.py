"""Lines in the form of lm-eval's logged samples."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

DATE = "2026-01-02T03-04-05.678901"
Line = Mapping[str, Any]


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def line(
    number: int, *, prompt: str = "", target: str = "1", pipe: str = "none", choices: int = 2, **values: Any
) -> dict[str, Any]:
    """One of lm-eval 0.4.13's lines, as its evaluation tracker writes them."""
    asked = prompt or f"question {number}"
    return {
        "doc_id": number,
        "doc": {"text": f"document {number}", "passage": number // 3},
        "target": target,
        "arguments": {f"gen_args_{choice}": {"arg_0": asked, "arg_1": f" {choice}"} for choice in range(choices)},
        "resps": [[["-1.0", "False"]]] * choices,
        "filtered_resps": [["-1.0", "False"]] * choices,
        "filter": pipe,
        "metrics": list(values),
        "doc_hash": digest(f"document {number}"),
        "prompt_hash": digest(asked),
        "target_hash": digest(target),
        **values,
    }
