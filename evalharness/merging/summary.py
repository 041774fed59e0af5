"""Summarise a merge and its losses in a few lines, by its merge.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evalharness.merging.job import ALONE


def merged_from(facts: Mapping[str, Any]) -> str:
    """Describe the parents and the method: `a × 0.5, b × 0.5 (ties, density 0.2)`."""
    parents = [
        each["name"] if each.get("weight") is None else f"{each['name']} × {each['weight']:g}"
        for each in facts["parents"]
    ]
    how = [] if facts["combination"] == ALONE else [facts["combination"]]
    how += [f"{key} {facts[key]:g}" for key in ("density", "seed") if facts.get(key) is not None]
    how += [f"{each['layers']} × {each['weight']:g}" for each in facts.get("blocks", ())]
    how += ["into the base"] if facts.get("into_base") else []
    return f"{', '.join(parents)} ({', '.join(how)})" if how else ", ".join(parents)


def summary(out: Path, facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines that the command prints."""
    yield f"{out}"
    yield f"  merged from     {merged_from(facts)}"
    yield f"  base            {facts['base_as_given']}"
    yield f"  dtype           {facts['dtype']}"
    if (exact := facts.get("merged")) is not None:
        how = f"logits within {exact['largest']:.2g} of the adapter on its base, at {exact['positions']} positions"
        yield f"  checked         {how} (float32; at most {facts['tolerance']:.2g} is allowed)"
    if (rounded := facts.get("rounded")) is not None:
        tokens = f"another next token at {rounded['changed']} of {rounded['positions']} positions"
        yield f"  rounding loses  logits up to {rounded['largest']:.2g}, {tokens} ({facts['dtype']})"
    if facts.get("lost"):
        yield f"  rounding loses  {facts['lost']:.2%} of what the merge adds to the base ({facts['dtype']})"
    if facts.get("apart") is not None:
        yield f"  approximation   {facts['apart']:.2%} from the weighted sum of what the adapters add"
