"""The page on generation: its Python runs in order, what it quotes is printed."""

import contextlib
import io
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "generation.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_every_block_runs(monkeypatch):
    monkeypatch.chdir(ROOT)
    namespace, printed = {}, io.StringIO()
    blocks = re.findall(r"^```python\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 4
    with contextlib.redirect_stdout(printed):
        for number, block in enumerate(blocks):
            exec(compile(block, f"generation.md, block {number}", "exec"), namespace)
    assert printed.getvalue().splitlines() == [
        line[2:] for line in TEXT.splitlines() if line.startswith("> ")
    ]
    assert (namespace["temperatures"] > 0).all()
    assert len(namespace["best"]) == len(namespace["answers"]) == 4
    assert all(len(result.generated_tokens) == 4 for result in namespace["results"])


def test_the_example_runs(monkeypatch, capsys, tmp_path, llama_folder):
    example = runpy.run_path(str(ROOT / "examples" / "generate.py"))
    example["main"](llama_folder, n=8)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 * 3
