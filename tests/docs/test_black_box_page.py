"""The page on black-box models: its Python runs and prints what is quoted; the two examples."""

import re
import runpy
import shlex
from pathlib import Path

import pages
import pytest
import torch

import thermometer as th
from thermometer import Experiment, cli
from thermometer.checkpoint import TrainingRecord

ROOT = Path(__file__).parents[2]
PAGE = "docs/black_box.md"
TEXT = pages.text_of(PAGE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working copy as the page assumes it: the recordings, and a checkpoint that reads scores."""
    folder = tmp_path_factory.mktemp("black_box")
    (folder / "tests").symlink_to(ROOT / "tests")
    torch.manual_seed(0)
    network = th.Thermometer(th.ThermometerConfig.scores_only())
    made = th.Calibrator(network, TrainingRecord(["law"], 1.0))
    made.save_pretrained(folder / "checkpoints" / "api")
    return folder


def test_every_block_runs_and_prints_what_is_quoted(folder):
    done = pages.run_in(folder, PAGE)
    assert len(done.printed) == 5


def test_the_request_of_each_server_is_the_one_that_errors_name():
    source = (ROOT / "thermometer" / "adapters" / "api_formats.py").read_text(encoding="utf-8")
    for request in ("logprobs=True, top_logprobs=20", "include=[", "n_probs"):
        assert request in TEXT
        assert request in source


def test_the_commands_are_understood():
    lines = re.findall(r"^thermometer (.*)$", TEXT, flags=re.MULTILINE)
    (read, _), (run, fields) = (cli.parse(shlex.split(line)) for line in lines)
    assert (read, run) == ("import-logprobs", "run")
    assert Experiment(**fields).scores.table == "outputs/api"


def test_the_example_of_an_api_reads_the_recording_without_a_server(folder, capsys):
    example = runpy.run_path(str(ROOT / "examples" / "openai_api.py"))
    example["main"](checkpoint=folder / "checkpoints" / "api")
    printed = capsys.readouterr().out
    assert "recorded answer of SmolLM2" in printed
    assert "B: 0.485, surely from 0.388 to 0.587" in printed
    assert re.search(r"^calibrated: 0\.\d+ for B$", printed, flags=re.MULTILINE)


def test_the_example_of_arrays(capsys):
    runpy.run_path(str(ROOT / "examples" / "arrays.py"), run_name="__main__")
    printed = capsys.readouterr().out
    assert "temperature 2.90" in printed
    assert "as it is: Overconfident" in printed
    assert "calibrated: Neither over- nor underconfident" in printed
    assert "Accept from" in printed
