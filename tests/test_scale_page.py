"""The page on scale: its Python runs, and the code for Ray is that of the example, which runs."""

import contextlib
import io
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")


def test_every_block_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    printed = io.StringIO()
    blocks = re.findall(r"^```python\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1
    with contextlib.redirect_stdout(printed):
        exec(compile(blocks[0], "scale.md", "exec"), {})
    quoted = [line[2:] for line in TEXT.splitlines() if line.startswith("> ")]
    assert printed.getvalue().splitlines() == quoted


def test_the_code_for_ray_is_that_of_the_example():
    example = (ROOT / "examples" / "ray_extract.py").read_text(encoding="utf-8")
    lines = {line.strip().replace("return ", "table = ") for line in example.splitlines()}
    block = re.search(r"^```py\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL).group(1)
    assert len(block.splitlines()) > 8
    assert [line for line in block.splitlines() if line.strip() not in lines] == []
