"""The notebooks of the documentation: executed again, their cells print what is stored in them."""

import importlib.util
import json
import re

import pages
import pytest

FOLDER = pages.ROOT / "docs"
NOTEBOOKS = sorted((FOLDER / "notebooks").glob("*.ipynb"))
NUMBER = re.compile(r"[+-]?\d[\d,]*(?:\.\d+)?")

_spec = importlib.util.spec_from_file_location("notebooks", FOLDER / "_site" / "notebooks.py")
notebooks = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(notebooks)


def outputs(notebook):
    """Texts of all outputs; that a figure is there counts, not how it looks."""
    cells = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    return ["".join(one.get("text") or one["data"]["text/plain"]) for one in cells]


def numbers(text):
    return [float(number.replace(",", "")) for number in NUMBER.findall(text)]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_gives_what_is_stored(path):
    """Words exactly; numbers as far as another processor's rounding may move a training."""
    stored = json.loads(path.read_text(encoding="utf-8"))
    again = outputs(notebooks.execute(stored, path.stem))
    for old, new in zip(outputs(stored), again, strict=True):
        assert NUMBER.sub("#", new) == NUMBER.sub("#", old)
        assert numbers(new) == pytest.approx(numbers(old), rel=0.1, abs=0.11)


def test_there_are_notebooks_and_all_are_executed():
    assert len(NOTEBOOKS) == 2
    for path in NOTEBOOKS:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        assert notebook["nbformat"] == 4
        code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
        assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])


def test_a_cell_shows_what_it_prints_and_the_value_of_its_last_line():
    names = {}
    printed, value = notebooks.run_cell("print('a')\nx = 2\nx + 1", "here", names, 4)
    assert printed == {"output_type": "stream", "name": "stdout", "text": ["a\n"]}
    assert value["data"] == {"text/plain": ["3"]}
    assert value["execution_count"] == 4
    assert notebooks.run_cell("y = x", "here", names, 5) == []
