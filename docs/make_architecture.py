"""Write the tree of ARCHITECTURE.md again, from the first sentences of the package's files.

python docs/make_architecture.py
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE, PACKAGE = ROOT / "ARCHITECTURE.md", ROOT / "evalharness"
BEGIN, END = "<!-- tree: docs/make_architecture.py -->", "<!-- end of tree -->"


def first_sentence(path: Path) -> str:
    """The first sentence of a file's docstring, on one line."""
    text = " ".join((ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").split("\n\n")[0].split())
    sentence = re.split(r"(?<=[^.])[.:](?=\s|$)(?!\s*[a-z0-9])", text)[0]
    return sentence.rstrip(".:")


def lines(folder: Path, depth: int = 0) -> Iterator[str]:
    """The folder's files, then its folders, each with what it is."""
    indent = "  " * depth
    for file in sorted(folder.glob("*.py")):
        if file.name != "__init__.py" or depth == 0:
            yield f"{indent}{file.name:<24} {first_sentence(file)}"
    for inner in sorted(path for path in folder.iterdir() if (path / "__init__.py").is_file()):
        yield f"{indent}{inner.name + '/':<24} {first_sentence(inner / '__init__.py')}"
        yield from lines(inner, depth + 1)


def page() -> str:
    """ARCHITECTURE.md with the tree as it is now."""
    head, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    tail = rest.partition(END)[2]
    return f"{head}{BEGIN}\n```\n" + "\n".join(lines(PACKAGE)) + f"\n```\n{END}{tail}"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
