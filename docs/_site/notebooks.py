"""Executes the notebooks of docs/notebooks in place: `python docs/_site/notebooks.py`.

Cells of code run one after another in one namespace, as in Jupyter, and what they print, the value
of their last line and the figures among these values are stored as outputs. No kernel is needed,
and a cell may use nothing that is not Python. `tests/docs/test_notebooks.py` executes them again.
"""

import ast
import base64
import contextlib
import io
import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
Cell = dict[str, Any]


def execute(notebook: Cell, name: str) -> Cell:
    """The same notebook with the outputs of all its cells of code."""
    namespace: dict[str, Any] = {}
    cells, number = [], 0
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            number += 1
            outputs = run_cell("".join(cell["source"]), f"{name}[{number}]", namespace, number)
            cell = {**cell, "execution_count": number, "outputs": outputs}
        cells.append(cell)
    return {**notebook, "cells": cells}


def run_cell(source: str, where: str, namespace: dict[str, Any], number: int) -> list[Cell]:
    """Outputs of one cell, in the words of the notebook format."""
    body = ast.parse(source).body
    last = body.pop() if isinstance(body[-1], ast.Expr) else None
    printed = io.StringIO()
    value = None
    with contextlib.redirect_stdout(printed):
        exec(compile(ast.Module(body, []), where, "exec"), namespace)  # noqa: S102
        if isinstance(last, ast.Expr):
            expression = compile(ast.Expression(last.value), where, "eval")
            value = eval(expression, namespace)  # noqa: S307
    outputs: list[Cell] = []
    if text := printed.getvalue():
        outputs.append({"output_type": "stream", "name": "stdout", "text": lines(text)})
    if value is not None:
        shown = {"output_type": "execute_result", "execution_count": number, "metadata": {}}
        outputs.append({**shown, "data": data_of(value)})
    return outputs


def data_of(value: object) -> dict[str, Any]:
    """A value in the forms that a reader may show."""
    if not isinstance(value, Figure):
        return {"text/plain": lines(repr(value))}
    picture = io.BytesIO()
    value.savefig(picture, format="png", dpi=100)
    encoded = base64.b64encode(picture.getvalue()).decode()
    return {"image/png": encoded, "text/plain": ["<Figure>"]}


def lines(text: str) -> list[str]:
    """Text as the notebook format holds it."""
    return text.splitlines(keepends=True)


def main() -> None:
    """Execute all notebooks."""
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        done = execute(json.loads(path.read_text(encoding="utf-8")), path.stem)
        path.write_text(json.dumps(done, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
