"""Read a file of training options: the options of `train` by name, or the training.json of a candidate."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from evalharness.checkpoints.naming import exists
from evalharness.errors import UsageError
from evalharness.json_text import parse_json
from evalharness.training.methods import flag
from evalharness.training.recipe import Recipe

READERS: dict[str, Callable[[bytes], Any]] = {
    ".json": parse_json,
    ".toml": lambda content: tomllib.loads(content.decode("utf-8-sig")),
    ".yaml": yaml.safe_load,
    ".yml": yaml.safe_load,
}
EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")  # YAML 1.1 reads 1e-4 as a text
FIELDS = Recipe.__dataclass_fields__
FIX = "options of train by name (lr: 1e-4), or a candidate's training.json"


def read_recipe_file(path: Path) -> dict[str, Any]:
    """Read the command's options by name, without their dashes, with values as they would be typed.

    From training.json all but `out` is read, with paths to the files as they were. Raises UsageError.
    """
    document = _document(path)
    recipe = document.get("recipe")
    if isinstance(recipe, dict) and "base_fingerprint" in document:
        values = {**recipe, **_places(document, recipe, path.parent)}
        document = {key: value for key, value in values.items() if key != "out" and value not in ("", [], {})}
    return {option_of(str(key)): _typed(key, value) for key, value in document.items() if value is not None}


def option_of(key: str) -> str:
    """Return the option of a key, which may also be the name of a recipe's field."""
    name = key.replace("-", "_")
    return flag(name).removeprefix("--").replace("-", "_") if name in FIELDS else name


def _document(path: Path) -> Mapping[str, Any]:
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise UsageError(f"--config {path}", f"its name does not end in {', '.join(READERS)}", FIX)
    try:
        document = reader(path.read_bytes())
    except OSError as error:
        raise UsageError(f"--config {path}", f"cannot be read ({error.strerror})", FIX) from None
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"--config {path}", f"is no {path.suffix[1:].upper()} ({reason[:200]})", FIX) from None
    if not isinstance(document, dict):
        raise UsageError(f"--config {path}", "holds no options by name", FIX)
    return document


def _typed(key: str, value: Any) -> Any:
    """Convert a value to the form of the command line."""
    if key == "targets" and isinstance(value, list):
        return ",".join(map(str, value))
    if isinstance(value, dict):
        return [f"{name}={number!r}" for name, number in value.items()]
    return float(value) if isinstance(value, str) and EXPONENT.fullmatch(value) else value


def _places(facts: Mapping[str, Any], recipe: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """Find the paths from here of a training's base, the stage before and its files."""
    data, after = facts.get("data") or {}, facts.get("after") or {}
    files = [source.get("path") for source in data.get("sources", ()) if source.get("kind") == "file"]
    recorded = {
        "base": facts.get("first_base", facts.get("base")),
        "after": after.get("path"),
        "train_file": next(iter(files), None),
        "validation_file": (data.get("validation") or {}).get("path"),
    }
    typed = {name: recipe.get(name) for name in recorded}
    return {name: _seen_from_here(text, recorded[name], folder) for name, text in typed.items() if text}


def _seen_from_here(typed: str, recorded: str | None, folder: Path) -> str:
    """Return a path as it was typed if it still leads to the same place, else as it was recorded; a hub id stays."""
    place = folder / (recorded or "")
    if not recorded or not exists(place) or (exists(typed) and os.path.samefile(typed, place)):
        return typed
    return os.path.relpath(place)
