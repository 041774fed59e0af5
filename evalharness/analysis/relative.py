"""Relate every score to the base's and to a full fine-tuning's, as the tables of the fine-tuning literature do."""

from __future__ import annotations

import math

import pandas as pd

from evalharness.records.comparison import value_of
from evalharness.records.models import ModelKind
from evalharness.records.results import Results

COLLAPSED = 0.1  # share of the base's score at or below which a full fine-tuning is no reference on a task


def reference_candidate(results: Results) -> str | None:
    """Return the fully fine-tuned candidate with the largest gain on its target (the task it was trained on), the first
    one if no gain was measured; None if no candidate is fully fine-tuned.
    """
    full = [model for model in results.models if model.base is not None and model.kind == ModelKind.FULL]
    gains = {model.name: model.target_gain.value if model.target_gain else -math.inf for model in full}
    return max(gains, key=lambda name: gains[name], default=None)


def relative_scores(results: Results) -> pd.DataFrame:
    """Return a table with a line for each comparison, in their order.

    Columns: `base` and `score`, and the score's relative change over the base's (`over_base`) and over the full
    fine-tuning's on the same task and metric (`over_full`). NaN if nothing was compared or the divisor is not above 0.
    A full fine-tuning that lost nine tenths of the base's score on a task is no reference there: `over_full` is NaN.
    """
    rows, reference = results.comparisons, reference_candidate(results)
    keys = [(c.level, c.task, c.metric) for c in rows]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}  # names may hold unpaired surrogates
    scores = [(value_of(c.base), value_of(c.candidate_score)) for c in rows]
    table = pd.DataFrame(scores, columns=["base", "score"], dtype=float)
    table["key"] = pd.Series([numbers[key] for key in keys], dtype=int)
    of_reference = pd.Series([c.candidate == reference for c in rows], dtype=bool)
    full = table["key"].map(table[of_reference].drop_duplicates("key").set_index("key")["score"])
    stands = (full > 0) & (full > COLLAPSED * table["base"])
    table["over_base"] = table["score"] / table["base"].where(table["base"] > 0) - 1
    table["over_full"] = (table["score"] / full.where(stands) - 1).where(~of_reference)
    return table
