"""Find pieces by name in tables of "module:attribute", which are imported only when somebody wants the piece.

Each package keeps its own table, `REGISTRY: dict[str, str]`, in its `__init__`, and names only its own files there.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from evalharness.errors import MissingPackageError, UsageError, did_you_mean

HF = "accelerate datasets evaluate huggingface_hub peft safetensors tokenizers torch transformers".split()
EXTRA_OF = {**dict.fromkeys(HF, "hf"), "bitsandbytes": "quant"}  # a module to the extra that brings it


def check(known: Mapping[str, str], name: str, what: str) -> None:
    """Raise UsageError, with the nearest known names, where the table has no such name. Imports nothing."""
    if name not in known:
        raise UsageError(what, f"unknown {what} {name!r}", did_you_mean(name, known))


def find(known: Mapping[str, str], name: str, what: str) -> Any:
    """The attribute that `name` stands for in the table `known`; `what` says in the error what kind of thing it is.

    Raises UsageError as `check` does, and MissingPackageError where the piece needs packages that only an extra brings.
    """
    check(known, name, what)
    module, _, attribute = known[name].partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in EXTRA_OF:
            raise
        extra = EXTRA_OF[missing]
        raise MissingPackageError(
            f"{what} {name}",
            f"needs the packages of the extra [{extra}] ({missing} is not installed)",
            f"pip install 'evalharness[{extra}]' would be right",
        ) from error
