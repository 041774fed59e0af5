"""Show the gate's policy as lines of TOML or as a JSON document, with the file that states each value."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from evalharness.records.policy import OF_THE_VERDICTS, Policy

UNSET = "not set"


def lines(policy: Policy, origin: bool = False) -> Iterator[str]:
    """Yield a line for every value, under [gate], in the form of evalharness.toml; a key without value and default is a
    comment.

    `origin`: True: add the file that states the value.
    """
    yield "[gate]"
    every = document(policy)
    for key, entry in every.items():
        text = f"# {key}: {UNSET}" if entry["value"] in (None, [], {}) else f"{key} = {toml_value(entry['value'])}"
        yield f"{text}  # {entry['origin']}" if origin and not text.startswith("#") else text


def document(policy: Policy) -> dict[str, dict[str, Any]]:
    """Return every key with its `value` in JSON form and its `origin`: "default", or the file that states it.

    If a key has values by name that different files state, each of these has its own origin.
    """
    values = {**policy.values, **{key: getattr(policy, key) for key in OF_THE_VERDICTS}, "baseline": policy.baseline}
    keys = [each.name for each in fields(policy) if each.name != "sources"]
    return {key: {"value": _plain(values[key]), "origin": _origin(policy, key)} for key in keys}


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def _origin(policy: Policy, key: str) -> str:
    value = getattr(policy, key)
    if not isinstance(value, Mapping) or not value:
        return policy.source(key)
    by_source: dict[str, list[str]] = {}
    for name in value:
        by_source.setdefault(policy.sources.get(f"{key}.{name}", policy.source(key)), []).append(name)
    if len(by_source) == 1:
        return next(iter(by_source))
    return "; ".join(f"{', '.join(names)}: {source}" for source, names in by_source.items())


def toml_value(value: Any) -> str:
    """Write a value in TOML on one line; dates of waivers are dates."""
    if isinstance(value, Mapping):
        stated = {key: each for key, each in value.items() if each is not None}
        cells = (f"{_key(key)} = {each if key == 'expires' else toml_value(each)}" for key, each in stated.items())
        return f"{{ {', '.join(cells)} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    return json.dumps(str(value)) if isinstance(value, str) else json.dumps(value)


def _key(name: str) -> str:
    return name if name.isascii() and name.replace("_", "").replace("-", "").isalnum() else json.dumps(name)
