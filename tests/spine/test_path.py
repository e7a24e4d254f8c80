"""The path of a question through the spine, as docs/architecture.md describes it, followed."""

import json
import re
import sys
from pathlib import Path

import tiny
import torch

import thermometer as th
from thermometer.checkpoint import TrainingRecord

ROOT = Path(__file__).parents[2]
PACKAGE = Path(th.__file__).parent
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PATH = re.findall(r"^\| \d+ \| `(\w+\.py)` \|.*\| `([^|]+)` \|$", PAGE, re.MULTILINE)


def entered(work):
    """The files of the package that a call enters, in the order in which it does so first."""
    found = {}

    def note(frame, event, _):
        file = Path(frame.f_code.co_filename)
        if event == "call" and PACKAGE in file.parents:
            found[str(file.relative_to(PACKAGE))] = True

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return list(found)


def test_the_path_of_a_question_is_that_of_the_page(tmp_path):
    torch.manual_seed(0)
    small, large = (
        th.LanguageModel(tiny.model("llama", seed=seed), tiny.tokenizer(), name=f"tiny {seed}")
        for seed in (1, 2)
    )
    features, scores = (lm.provenance(th.Template()) for lm in (small, large))
    network = th.Thermometer(th.ThermometerConfig(n_components=4), small.n_features)
    record = TrainingRecord(["law"], 1.5, features=features, targets=[scores])
    calibrator = th.Calibrator(network, record).with_language_model(small)
    file = tmp_path / "questions.jsonl"
    rows = [{"question": f"Is it {i}?", "choices": ["yes", "no"]} for i in range(5)]
    file.write_text("\n".join(map(json.dumps, rows)))

    def ask():
        result = th.CalibratedLM(large, calibrator).calibrate(th.load_task(file))
        assert result.probs.shape == (5, 2)

    ask()  # what is imported when first needed
    found = [name for name in entered(ask) if not name.startswith("_")]
    listed = [name for name, _ in PATH]
    assert sorted(listed) == sorted(found)


def test_what_the_page_says_to_read_is_there():
    rest = re.findall(r"^\| `(\w+)\.py`(?:, `\w+\.py`)? \|.*\| (`.+`) \|$", PAGE, re.MULTILINE)
    named = [(name.removesuffix(".py"), f"`{what}`") for name, what in PATH] + rest
    assert len(named) > 20
    for module, names in named:
        files = [module, "tables"] if module == "table_files" else [module]
        text = "".join((PACKAGE / f"{file}.py").read_text(encoding="utf-8") for file in files)
        for name in re.findall(r"`([\w.]+)`", names):
            assert re.search(rf"^ *(def|class) {name.split('.')[-1]}\b", text, re.MULTILINE), name
