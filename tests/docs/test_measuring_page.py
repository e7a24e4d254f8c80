"""The page on measuring: its Python runs, its commands exist, its figures are true."""

import runpy
from pathlib import Path

import numpy as np
import pages
import pytest

ROOT = Path(__file__).parents[2]
TEXT = pages.text_of("docs/measuring.md")


@pytest.fixture(scope="module")
def done():
    """What the blocks leave behind."""
    return pages.run("docs/measuring.md")


def test_every_block_of_python_runs(done):
    namespace = done.names
    assert len(done.printed) == 4
    assert (done.folder / "outputs" / "report" / "report.html").is_file()
    assert len(namespace["table"]) == 8
    assert namespace["report"].differences["after"]["nll"].estimate < 0
    assert "topic = law overconfident" in done.text


def test_the_quoted_result_is_what_it_prints(done):
    quoted = " ".join(line[2:] for line in TEXT.splitlines() if line.startswith("> "))
    assert quoted.endswith(" …")
    assert quoted.removesuffix(" …") in " ".join(done.printed[0].split())


def test_the_floor_of_a_hundred_answers():
    from thermometer.metrics import calibration_floor

    confidence = np.random.default_rng(0).uniform(0.25, 1, 100)
    assert calibration_floor(confidence, 10) == pytest.approx(0.1, abs=0.015)
    assert "With 100 answers, a perfect model scores about 0.1 in ten bins" in TEXT
    assert calibration_floor(confidence, 10) > 0.08  # of fifty such tasks, as of one


def test_the_example_runs(tmp_path, capsys):
    example = runpy.run_path(str(ROOT / "examples" / "measure.py"))
    example["main"](str(tmp_path / "out"))
    assert (tmp_path / "out" / "report.html").is_file()
    printed = capsys.readouterr().out
    assert "Against stated, recalibrated lowers the NLL" in printed
    assert "topic = law: overconfident" in " ".join(printed.split())
