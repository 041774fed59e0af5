"""Adjust p-values for multiple tests."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p-values in the same order: rejecting those ≤ α makes any error with probability ≤ α,
    under any dependence.

    S. Holm (1979), Scandinavian Journal of Statistics 6:65-70.
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Return Benjamini and Hochberg's adjusted p-values in the same order: of those ≤ q, an expected share of at most q
    is false, if the p-values are independent or positively dependent. For many rows that decide nothing (MMLU's
    subjects): it does not bound the chance of any error; Holm does.

    Y. Benjamini and Y. Hochberg (1995), Journal of the Royal Statistical Society B 57:289-300.
    """
    adjusted, smallest, count = [0.0] * len(p_values), 1.0, len(p_values)
    order = sorted(range(count), key=lambda place: p_values[place])
    for rank, place in reversed([*enumerate(order, start=1)]):
        smallest = min(smallest, p_values[place] * (count / rank))
        adjusted[place] = smallest
    return adjusted
