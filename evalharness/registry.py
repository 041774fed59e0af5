"""A name to the piece behind it: "module:attribute" tables, imported only when asked for.

Each room keeps its own table, `REGISTRY: dict[str, str]`, in its `__init__`, and names only its own files there.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from evalharness.errors import UsageError, did_you_mean


def find(known: Mapping[str, str], name: str, what: str) -> Any:
    """The attribute that `name` stands for in the table `known`; `what` says in the error what kind of thing it is.

    Raises UsageError, with the nearest known names, where the table has no such name.
    """
    if name not in known:
        raise UsageError(what, f"unknown {what} {name!r}", did_you_mean(name, known))
    module, _, attribute = known[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
