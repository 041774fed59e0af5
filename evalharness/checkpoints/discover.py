"""Find the checkpoints inside a directory, and write out `[NAME=]DIR/*` as one text for each of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from evalharness.checkpoints import files
from evalharness.checkpoints.naming import EVERY, exists, parse
from evalharness.errors import ModelError

STEP = re.compile(r"checkpoint-(\d+)")
SIGNS = (files.CONFIG, files.ADAPTER_CONFIG, files.WEIGHTS, files.INDEX, files.ADAPTER)


def checkpoints_in(directory: Path) -> tuple[Path, ...]:
    """The checkpoints right inside: checkpoint-N in the order of N, then the others by name. () where there are none.

    Incomplete ones count, so that they are refused by name and never left out in silence.
    """
    try:
        folders = [path for path in directory.iterdir() if path.is_dir() and not path.name.startswith(".")]
        checkpoints = [
            path for path in folders if STEP.fullmatch(path.name) or any((path / sign).is_file() for sign in SIGNS)
        ]
    except OSError as error:
        raise ModelError(directory, f"cannot be read ({error.strerror})", "check its permissions") from None
    return tuple(sorted(checkpoints, key=lambda path: _order(path.name)))


def _order(name: str) -> tuple[int, int, str]:
    match = STEP.fullmatch(name)
    return (0, int(match[1]), name) if match else (1, 0, name)


def expand(text: str) -> tuple[str, ...]:
    """`[NAME=]DIR/*` to one text for each checkpoint inside, called NAME-<folder> where NAME is given; any other text
    to itself.

    Raises ModelError where there is no such directory, or none inside.
    """
    spec = parse(text)
    if not spec.names_several:
        return (text,)
    directory = Path(spec.location.removesuffix(EVERY) or "/").expanduser()
    if not exists(directory) or not directory.is_dir():
        raise ModelError(text, f"no directory {directory}", "name a directory with checkpoints inside")
    paths = checkpoints_in(directory)
    if not paths:
        fix = "name a directory with checkpoint-N folders or adapters inside"
        raise ModelError(directory, "no checkpoint inside", fix)
    return tuple(_text(f"{spec.name}-{path.name}", path) if spec.name else str(path) for path in paths)


def expand_all(texts: Sequence[str]) -> tuple[str, ...]:
    """Every text expanded. Those that name no name and whose folders are called alike are called PARENT-<folder>, where
    that tells them apart.
    """
    expanded = [one for text in texts for one in expand(text)]
    specs = [parse(text) for text in expanded]
    paths = [spec.path.absolute() for spec in specs]
    names = [spec.name_in(path) for spec, path in zip(specs, paths, strict=True)]
    times = Counter(names)
    return tuple(
        text
        if times[name] == 1 or spec.name or spec.on_hub or not path.parent.name
        else _text(f"{path.parent.name}-{name}", text)
        for text, spec, path, name in zip(expanded, specs, paths, names, strict=True)
    )


def _text(name: str, location: Path | str) -> str:
    return f"{name.replace('=', '-')}={location}"
