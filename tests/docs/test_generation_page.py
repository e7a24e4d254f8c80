"""The page on generation: its Python runs in order, what it quotes is printed."""

import runpy

import pages
import pytest

PAGE = "docs/generation.md"


@pytest.mark.slow
def test_every_block_runs():
    done = pages.run(PAGE)
    namespace = done.names
    assert len(done.printed) == 4
    assert (namespace["temperatures"] > 0).all()
    assert len(namespace["best"]) == len(namespace["answers"]) == 4
    assert all(len(result.generated_tokens) == 4 for result in namespace["results"])


def test_the_example_runs(monkeypatch, capsys, tmp_path, llama_folder):
    example = runpy.run_path(str(pages.ROOT / "examples" / "generate.py"))
    example["main"](llama_folder, n=8)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 * 3
