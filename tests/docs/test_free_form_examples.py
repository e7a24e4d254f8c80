"""The examples of answers with confidence run as they stand, on the bundled model."""

import runpy
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def test_classify(tmp_path, monkeypatch, capsys):
    shutil.copytree(ROOT / "checkpoints" / "demo", tmp_path / "checkpoints" / "demo")
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(ROOT / "examples" / "classify.py"), run_name="__main__")
    printed = capsys.readouterr().out
    assert printed.count("?  ") == 6
    assert "note: The task is unlike those of the training" in printed


def test_answer(tmp_path, capsys):
    example = runpy.run_path(str(ROOT / "examples" / "answer.py"))
    with pytest.warns(UserWarning, match="letters hold only"):  # of a model as small as this
        example["main"](tmp_path / "out", limit=3)
    assert "What is the capital of Japan?  " in capsys.readouterr().out
    assert (tmp_path / "out" / "checkpoint" / "model.safetensors").is_file()
