"""The page on measuring: its Python runs, its commands exist, its figures are true."""

import contextlib
import io
import re
import runpy
import shlex
from pathlib import Path

import numpy as np
import pytest

from thermometer import cli

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "measuring.md").read_text(encoding="utf-8")


def blocks(language):
    found = re.findall(r"^```(\w*)\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)
    return [block for name, block in found if name == language]


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """Names and text that the blocks leave behind, run one after another in an empty folder."""
    namespace, printed = {}, io.StringIO()
    folder = tmp_path_factory.mktemp("measuring")
    with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
        for number, block in enumerate(blocks("python")):
            exec(compile(block, f"measuring.md, block {number}", "exec"), namespace)
            if number == 0:
                namespace["first"] = namespace["report"]
    return namespace, printed.getvalue(), folder


def test_every_block_of_python_runs(said):
    namespace, printed, folder = said
    assert len(blocks("python")) == 4
    assert (folder / "outputs" / "report" / "report.html").is_file()
    assert len(namespace["table"]) == 8
    assert namespace["report"].differences["after"]["nll"].estimate < 0
    assert "topic = law overconfident" in printed


def test_the_quoted_result_is_what_it_prints(said):
    quoted = " ".join(line[2:] for line in TEXT.splitlines() if line.startswith("> "))
    assert quoted.endswith(" …")
    assert quoted.removesuffix(" …") in said[0]["first"].verdict


def test_every_command_is_understood(tmp_path):
    commands = [line for block in blocks("") for line in block.splitlines()]
    assert len(commands) == 4
    for line in commands:
        arguments = shlex.split(line, comments=True)
        assert arguments[0] == "thermometer"
        assert cli.parse(arguments[1:])[0] == "report"


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
