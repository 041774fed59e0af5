"""Write docs/files.md: every file of the package with the first sentence of its docstring.

python docs/make_files_page.py
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE, PACKAGE = ROOT / "docs" / "files.md", ROOT / "evalharness"
HEAD = """# Every file

Written by `python docs/make_files_page.py` from the first sentence of each file.
[ARCHITECTURE.md](../ARCHITECTURE.md) shows how the packages fit together.
"""


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
    """The page as it is now."""
    return f"{HEAD}\n```text\n" + "\n".join(lines(PACKAGE)) + "\n```\n"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
