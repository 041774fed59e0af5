"""Read the gate's policy from `evalharness.toml` ([gate]) and `pyproject.toml` ([tool.evalharness.gate])."""

from __future__ import annotations

from collections.abc import Mapping
from os.path import relpath
from pathlib import Path
from typing import Any, Final, get_type_hints

from evalharness.configuration import GATE, heading, place, stated, table_of
from evalharness.errors import UsageError, did_you_mean
from evalharness.records.policy import Policy
from evalharness.results import structure_json

NONE = "none"  # in place of a file: no policy but the options
HINTS: Final = {name: hint for name, hint in get_type_hints(Policy).items() if name != "sources"}
RIGHT = {  # what a key may look like
    "suite": 'suite = "forgetting"',
    "require": 'require = ["mmlu", "rte"]',
    "alpha": "alpha = 0.05",
    "margin": "margin = 0.02",
    "margins": "margins = { rte = 0.05 }",
    "ceiling": "ceiling = 0.05",
    "ceilings": "ceilings = { cola = 0.1 }",
    "severity": 'severity = "error" or "warn"',
    "severities": 'severities = { copa = "warn" }, each "error", "warn" or "off",',
    "on_inconclusive": 'on_inconclusive = "fail" or "pass"',
    "against": 'against = "base", "baseline" or "both"',
    "baseline": 'baseline = "evalharness-baseline.json"',
    "limits": "limits = { empty = 0.05 }",
    "waivers": 'waivers = [{ unit = "copa", reason = "…", expires = 2030-01-31 }]',
}


def policy_of(text: str | None, start: Path | None = None) -> Policy:
    """Return the policy that --policy names: that of a file, or "none". If the option is absent (None), return that of
    the folder `start` (None: the working directory). Raises UsageError.
    """
    if text is None:
        return find_policy(start)
    return Policy() if text == NONE else read_policy(Path(text))


def find_policy(start: Path | None = None) -> Policy:
    """Return the policy of the nearest folder that states one.

    The search begins at `start` (None: the working directory) and ends at the root of its repository. If a folder has
    both files, evalharness.toml overrides pyproject.toml, value by value. Raises UsageError for a file that cannot be
    read, and for what is wrong in it.
    """
    policy = Policy()
    for path, table in stated(GATE, start).items():
        policy = _with_table(policy, path, table)
    return policy


def read_policy(path: Path) -> Policy:
    """Read the policy of one file: a pyproject.toml by its name, any other file in the form of evalharness.toml. Raises
    UsageError if it states none.
    """
    table = table_of(path, GATE)
    if table is None:
        where = f"[{heading(path, GATE)}]"
        raise UsageError(path, f"states no policy: there is no {where}", f"put it under {where}")
    return _with_table(Policy(), path, table)


def _with_table(policy: Policy, path: Path, table: Mapping[str, Any]) -> Policy:
    """Return the policy with the values of a file's table put over it. Raises UsageError."""
    source, prefix = relpath(path), heading(path, GATE)
    values = dict[str, Any]()
    for key, value in table.items():
        if key not in HINTS:
            raise UsageError(place(path, GATE, key), "there is no such key", did_you_mean(key, HINTS))
        values[key] = structure_json(value, HINTS[key], source, f"{prefix}.{key}", f"{RIGHT[key]} would be right")
    if values.get("baseline"):
        values["baseline"] = relpath(path.parent / values["baseline"])
    return policy.with_values(values, source)
