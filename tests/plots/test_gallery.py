"""The gallery: its script draws what its page shows, and the snippets of the page run."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pages
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
SHOWN = set(re.findall(r"images/gallery/(\w+\.png)", pages.text_of("docs/gallery.md")))


def answers(seed, n=160):
    """Recorded answers of a pretended model to two subjects, overconfident by a factor of two."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(n, 4)) * 2
    odds = np.exp(scores / 2)
    labels = (odds.cumsum(axis=1) / odds.sum(axis=1, keepdims=True) < rng.random((n, 1))).sum(
        axis=1
    )
    tasks = [f"mmlu/{name}" for name in ("virology", "marketing") for _ in range(n // 2)]
    return pa.table({"task": tasks, "label": labels, "scores": scores.tolist()})


@pytest.fixture
def recorded(tmp_path):
    mmlu, pro = tmp_path / "options" / "mmlu", tmp_path / "confidence" / "mmlu_pro"
    mmlu.mkdir(parents=True)
    pro.mkdir(parents=True)
    for seed, size in enumerate(("7b", "13b")):
        pq.write_table(answers(seed), mmlu / f"Llama-2-{size}-chat-hf.parquet")
    rng = np.random.default_rng(2)
    stated = rng.uniform(size=100).round(1).tolist()
    kinds = {"stated": [None, *stated[1:]], "linguistic": stated, "sequence_probability": stated}
    table = pa.table({"correct": rng.random(100) < 0.5, **kinds})
    pq.write_table(table, pro / "gpt-4o-mini-2024-07-18.parquet")
    return tmp_path


def test_the_script_draws_what_the_page_shows(recorded, tmp_path, capsys):
    spec = importlib.util.spec_from_file_location("gallery", ROOT / "examples" / "gallery.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.main(recorded, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == SHOWN
    printed = capsys.readouterr().out
    assert "ECE" in printed
    assert "virology" in printed


def test_the_pictures_of_the_page_are_there_and_small():
    kept = {path.name: path for path in (ROOT / "docs" / "images" / "gallery").iterdir()}
    assert set(kept) == SHOWN
    for name, path in kept.items():
        assert path.stat().st_size < 150_000
        with Image.open(path) as image:
            corner = image.convert("RGB").getpixel((0, 0))
        assert (max(corner) < 60) == name.endswith("_dark.png")


def test_the_snippets_of_the_page_run(recorded, monkeypatch, capsys):
    monkeypatch.chdir(recorded / "options" / "mmlu")
    text, blocks = pages.text_of("docs/gallery.md"), pages.blocks("docs/gallery.md", "python")
    assert len(blocks) == 7
    namespace, figures = {}, []
    for block in blocks:
        exec(compile("\n" * block.line + block.text, "gallery.md", "exec"), namespace)
        figures.append(namespace.get("figure"))
    assert len({id(figure) for figure in figures if figure is not None}) == 4
    printed = capsys.readouterr().out.rstrip("\n")
    assert printed.split("\n")[-2:] == text.rsplit("```\n", 2)[1].split("\n")[:2]
