"""Load a task file as one mapping: YAML is parsed safely, includes are merged, Python references are never run."""

from __future__ import annotations

import io
import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from evalharness.errors import TaskError

LARGEST = 1 << 21  # bytes of one file
MOST_NODES = 200_000  # values after aliases are expanded
DEEPEST = 40  # levels of values in a file, and of files that include others
LARGEST_NUMBER = 1 << 63
RIGHT = "one mapping of keys to values would be right"


class NeedsCode(TaskError):
    """Raised for a definition that needs Python code, which is never run."""


class NotSupported(TaskError):
    """Raised for a well-formed definition that needs something that this harness does not support."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A `!function` tag and its place. It is never run; a later file may override its key with a template."""

    function: str
    where: str

    @property
    def description(self) -> str:
        """Return the function's name, and its file if that exists.

        lm-eval looks for the file beside the file with the tag, not beside the one that includes it.
        """
        module, _, name = self.function.rpartition(".")
        file = Path(self.where.rpartition(":")[0]).parent / f"{module.replace('.', '/')}.py"
        return f"{name} of {file}" if module and file.is_file() else self.function


_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class TaskLoader(_Loader):  # type: ignore[misc]
    """Loads YAML 1.1 as lm-eval does, with two differences.

    A key may not be repeated with another value (in lm-eval the last one wins), and dates stay texts.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        nodes: dict[Any, yaml.Node] = {}
        for key, value in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            name = self.construct_object(key, deep=True)
            if not isinstance(name, Hashable):
                raise yaml.constructor.ConstructorError(None, None, "a key must be a plain value", key.start_mark)
            if name in nodes and self.construct_object(nodes[name], deep=True) != self.construct_object(
                value, deep=True
            ):
                raise yaml.constructor.ConstructorError(None, None, f"the key {name!r} appears twice", key.start_mark)
            nodes[name] = value
        return super().construct_mapping(node, deep=deep)  # type: ignore[no-any-return]


class _Named(io.StringIO):
    """A text with the name of its file, for the marks in errors."""

    def __init__(self, text: str, path: Path) -> None:
        super().__init__(text)
        self.name = str(path)


def _function(loader: TaskLoader, node: yaml.Node) -> Code:
    value = node.value if isinstance(node, yaml.ScalarNode) else "?"
    return Code(function=str(value), where=f"{node.start_mark.name}:{node.start_mark.line + 1}")


def _float(loader: TaskLoader, node: yaml.ScalarNode) -> float:
    number = float(loader.construct_yaml_float(node))
    if not math.isfinite(number):
        raise yaml.constructor.ConstructorError(
            None, None, f"{node.value} is not a number that can be used", node.start_mark
        )
    return number


def _int(loader: TaskLoader, node: yaml.ScalarNode) -> int:
    number = int(loader.construct_yaml_int(node))
    if abs(number) > LARGEST_NUMBER:
        what = f"{node.value[:20]}… is not a number that can be used"
        raise yaml.constructor.ConstructorError(None, None, what, node.start_mark)
    return number


TaskLoader.add_constructor("!function", _function)
TaskLoader.add_constructor("tag:yaml.org,2002:int", _int)
TaskLoader.add_constructor("tag:yaml.org,2002:float", _float)
TaskLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}


Parsed = dict[Path, dict[str, Any]]
"""Parsed files, so that a file that many include is read once."""


def load(path: Path, parsed: Parsed | None = None) -> dict[str, Any]:
    """Return the file's mapping with its includes merged: shallowly, in their order, the file's own keys last
    (lm-eval's rule).

    Several files may include one (a diamond); a file that includes itself, directly or not, is refused. Raises
    TaskError naming file and line.
    """
    return _load(path.expanduser().resolve(), (), {} if parsed is None else parsed, {})


def with_includes(values: Mapping[str, Any], path: Path, parsed: Parsed) -> dict[str, Any]:
    """Return a mapping inside the file `path`, with its includes merged. Raises as `load`."""
    return _merged(dict(values), path.expanduser().resolve(), (), parsed, {})


def parse(path: Path) -> dict[str, Any]:
    """Read one file's mapping, without merging its `include`. Raises TaskError naming file and line."""
    text = _read(path)
    try:
        _check_size(text, path)
        loader = TaskLoader(_Named(text, path))
        mapping = loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise TaskError(where, f"is not YAML that can be read: {error.problem or error.context}", RIGHT) from None
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, RecursionError) as error:
        # PyYAML's constructors may raise anything for a tag that does not fit its value
        raise TaskError(path, f"is not YAML that can be read: {error}", RIGHT) from None
    if not isinstance(mapping, dict):
        raise TaskError(path, f"holds {kind(mapping)}", RIGHT)
    for key in mapping:
        if not isinstance(key, str):
            raise TaskError(path, f"the key {key!r} is no text", "write it in quotes")
    return mapping


def _load(path: Path, above: tuple[Path, ...], parsed: Parsed, whole: Parsed) -> dict[str, Any]:
    """Load a file. `whole` are the files loaded so far with their includes, so that a file that many include is merged
    once.
    """
    if path in above:
        chain = " → ".join(file.name for file in (*above[above.index(path) :], path))
        raise TaskError(above[-1], f"includes go in a circle ({chain})", "a file may not include itself")
    if len(above) > DEEPEST:
        raise TaskError(above[-1], f"files include each other more than {DEEPEST} deep", "fewer would be right")
    if path not in parsed:
        parsed[path] = parse(path)
    if path not in whole:
        whole[path] = _merged(dict(parsed[path]), path, above, parsed, whole)
    return dict(whole[path])


def _merged(own: dict[str, Any], path: Path, above: tuple[Path, ...], parsed: Parsed, whole: Parsed) -> dict[str, Any]:
    includes = own.pop("include", None)
    if includes is None:
        return own
    names = includes if isinstance(includes, list) else [includes]
    merged: dict[str, Any] = {}
    for name in names:
        if not isinstance(name, str):
            raise TaskError(
                path, f"include is {kind(name)}", "the path of a YAML file, or a list of such paths, would be right"
            )
        try:
            target = (path.parent / Path(name).expanduser()).resolve()
            there = target.is_file()
        except (OSError, ValueError, RuntimeError) as error:  # an impossible path, or a missing home
            raise TaskError(path, f"includes {name[:80]!r}, which is no path ({error})", "a file's path") from None
        if not there:
            raise TaskError(path, f"includes {name}, which is no file", f"it was looked for at {target}")
        included = _load(target, (*above, path), parsed, whole)
        included.pop("task_list", None)
        merged.update(included)
    return merged | own


def _read(path: Path) -> str:
    if not path.is_file():
        raise TaskError(
            path, "is no regular file" if path.exists() else "does not exist", "the path of a YAML file would be right"
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TaskError(path, f"cannot be read ({error.strerror})", "") from None
    if len(data) > LARGEST:
        raise TaskError(path, f"has {len(data)} bytes", f"a task file has at most {LARGEST}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise TaskError(f"{path}:{line}", "is not UTF-8", "save the file as UTF-8") from None


def _check_size(text: str, path: Path) -> None:
    """Refuse YAML that is too deep, or huge or endless once its aliases are expanded, before values are made."""
    fix = f"at most {DEEPEST} levels and {MOST_NODES} values"
    sizes: dict[str, int] = {}  # anchor -> values with all inside; of an open node more than is allowed
    open_nodes: list[tuple[str | None, int]] = []
    nodes = 0
    for event in yaml.parse(_Named(text, path), Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            nodes += sizes.get(event.anchor, 1)
        elif isinstance(event, yaml.NodeEvent):
            nodes += 1
            if event.anchor:
                sizes[event.anchor] = 1 if isinstance(event, yaml.ScalarEvent) else MOST_NODES
            if isinstance(event, yaml.CollectionStartEvent):
                open_nodes.append((event.anchor, nodes))
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor:
                sizes[anchor] = nodes - before + 1
        if nodes > MOST_NODES or len(open_nodes) > DEEPEST:
            where = f"{path}:{event.start_mark.line + 1}"
            raise TaskError(where, "is too deep or too large once its aliases are expanded", fix)


def kind(value: Any) -> str:
    """Return the type of a value of a task file, in words for an error."""
    names = {
        dict: "a mapping",
        list: "a list",
        str: "a text",
        bool: "true or false",
        int: "a number",
        float: "a number",
        type(None): "nothing",
    }
    return (
        f"Python code ({value.description})"
        if isinstance(value, Code)
        else names.get(type(value), type(value).__name__)
    )
