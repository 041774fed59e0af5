"""Check the numbers of a recipe that do not depend on the method: counts, ranges, and the sum of the shares."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from evalharness.errors import UsageError

Range = tuple[str, Callable[[float], bool]]  # in words, and as a test
ABOVE_ZERO: Range = ("above 0", lambda number: number > 0)
AT_LEAST_ZERO: Range = ("of at least 0", lambda number: number >= 0)
SHARE: Range = ("of at least 0 and below 1", lambda number: 0 <= number < 1)
BETWEEN: Range = ("between 0 and 1", lambda number: 0 < number < 1)
COUNTS = (
    *("steps", "batch_size", "gradient_accumulation", "rank", "virtual_tokens", "hidden"),
    *("max_length", "eval_every", "patience", "save_every", "keep_checkpoints", "watch_every", "watch_limit"),
)
RANGES: dict[str, Range] = {
    "learning_rate": ABOVE_ZERO,
    "weight_decay": AT_LEAST_ZERO,
    "max_grad_norm": AT_LEAST_ZERO,
    "alpha": ABOVE_ZERO,
    "epochs": ABOVE_ZERO,
    "dropout": SHARE,
    "warmup": SHARE,
    "validation": BETWEEN,
}


def check_shares(mix: Mapping[str, float], replay: Mapping[str, float]) -> None:
    """Raise UsageError unless weights are above 0, fractions between 0 and 1, and the sum of the fractions below 1."""
    for task, weight in mix.items():
        check_number(f"--mix {task}", weight, *ABOVE_ZERO)
    for task, fraction in replay.items():
        check_number(f"--replay {task}", fraction, *BETWEEN)
    if sum(replay.values()) >= 1:
        raise UsageError(
            "--replay",
            f"the fractions add up to {sum(replay.values()):g}",
            "less than 1: the rest is what is to be learned",
        )


def check_number(option: str, number: object, words: str, fits: Callable[[float], bool]) -> None:
    """Raise UsageError unless the number is finite and fits."""
    right = isinstance(number, (int, float)) and not isinstance(number, bool) and math.isfinite(number) and fits(number)
    if not right:
        raise UsageError(option, f"{number!r}", f"a number {words} would be right")
