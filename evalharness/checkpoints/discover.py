"""A directory to the checkpoints inside it, and `[NAME=]DIR/*` to the text that names each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from evalharness.checkpoints import files
from evalharness.checkpoints.naming import default_name, exists, is_path, parse
from evalharness.errors import ModelError

ALL = "/*"
STEP = re.compile(r"checkpoint-(\d+)")
SIGNS = (files.CONFIG, files.ADAPTER_CONFIG, files.WEIGHTS, files.INDEX, files.ADAPTER)


def inside(directory: Path) -> tuple[Path, ...]:
    """The checkpoints right inside: checkpoint-N in the order of N, then the others by name. () where there are none.

    Incomplete ones count, so that they are refused by name and never left out in silence.
    """
    try:
        folders = [path for path in directory.iterdir() if path.is_dir() and not path.name.startswith(".")]
        found = [
            path for path in folders if STEP.fullmatch(path.name) or any((path / sign).is_file() for sign in SIGNS)
        ]
    except OSError as error:
        raise ModelError(directory, f"cannot be read ({error.strerror})", "check its permissions") from None
    return tuple(sorted(found, key=lambda path: _order(path.name)))


def _order(name: str) -> tuple[int, int, str]:
    match = STEP.fullmatch(name)
    return (0, int(match[1]), name) if match else (1, 0, name)


def expand(text: str) -> tuple[str, ...]:
    """`[NAME=]DIR/*` to one text for each checkpoint inside, called NAME-<folder> where NAME is given; any other text
    to itself.

    Raises ModelError where there is no such directory, or none inside.
    """
    if not text.endswith(ALL) or exists(text):
        return (text,)
    named = parse(text)
    directory = Path(named.place.removesuffix(ALL) or "/").expanduser()
    if exists(named.place):
        return (text,)
    if not exists(directory) or not directory.is_dir():
        raise ModelError(text, f"no directory {directory}", "name a directory with checkpoints inside")
    found = inside(directory)
    if not found:
        raise ModelError(
            directory, "no checkpoint inside", "name a directory with checkpoint-N folders or adapters inside"
        )
    return tuple(_called(f"{named.name}-{path.name}", path) if named.name else str(path) for path in found)


def expand_all(texts: Sequence[str]) -> tuple[str, ...]:
    """Every text expanded. Those that name no name and whose folders are called alike are called PARENT-<folder>, where
    that tells them apart.
    """
    found = [one for text in texts for one in expand(text)]
    own = [default_name(named, Path(named.place).expanduser().absolute()) for named in map(parse, found)]
    return tuple(_told_apart(text, Counter(own)[name] > 1) for text, name in zip(found, own, strict=True))


def _told_apart(text: str, clashes: bool) -> str:
    named = parse(text)
    if not clashes or named.name or not is_path(named.place):
        return text
    path = Path(named.place).expanduser().absolute()
    return _called(f"{path.parent.name}-{default_name(named, path)}", text) if path.parent.name else text


def _called(name: str, place: Path | str) -> str:
    return f"{name.replace('=', '-')}={place}"
