"""The page on scale: its Python runs, and the code for Ray is that of the example, which runs."""

import re

import pages

PAGE = "docs/scale.md"
TEXT = pages.text_of(PAGE)


def test_every_block_runs():
    done = pages.run(PAGE)
    assert len(done.printed) == 1


def test_the_code_for_ray_is_that_of_the_example():
    example = (pages.ROOT / "examples" / "ray_extract.py").read_text(encoding="utf-8")
    lines = {line.strip().replace("return ", "table = ") for line in example.splitlines()}
    block = re.search(r"^```py\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL).group(1)
    assert len(block.splitlines()) > 8
    assert [line for line in block.splitlines() if line.strip() not in lines] == []
