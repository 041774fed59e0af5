"""Run the cells of docs/notebook.ipynb in order, and write their outputs into it, as texts.

python docs/make_notebook.py
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import tempfile
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parent / "notebook.ipynb"


def page(text: str) -> str:
    """The notebook with the outputs that its cells have now, run in an empty folder: what is printed, and the last
    expression as it is shown without a browser.
    """
    notebook = json.loads(text)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            for number, cell in enumerate((cell for cell in notebook["cells"] if cell["cell_type"] == "code"), 1):
                cell["execution_count"], cell["outputs"] = number, outputs("".join(cell["source"]), namespace, number)
        finally:
            os.chdir(before)
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def outputs(source: str, namespace: dict[str, Any], number: int) -> list[dict[str, Any]]:
    """What a cell prints, and what its last line is where that is an expression."""
    body, printed, last = ast.parse(source).body, io.StringIO(), None
    expression = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    with contextlib.redirect_stdout(printed):
        exec(compile(ast.Module(body, []), f"cell {number}", "exec"), namespace)
        if isinstance(expression, ast.Expr):
            last = eval(compile(ast.Expression(expression.value), f"cell {number}", "eval"), namespace)
    of_cell: list[dict[str, Any]] = []
    if printed.getvalue():
        of_cell.append({"name": "stdout", "output_type": "stream", "text": lines(printed.getvalue())})
    if last is not None:
        data = {"text/plain": lines(repr(last))}
        of_cell.append({"data": data, "execution_count": number, "metadata": {}, "output_type": "execute_result"})
    return of_cell


def lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
