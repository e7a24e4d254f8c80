"""The page on signals: its Python runs and prints what it says; replies; figures; the example."""

import json
import re
import runpy
from pathlib import Path

import numpy as np
import pages
import pytest

from thermometer import signals
from thermometer.language_model import LanguageModel

ROOT = Path(__file__).parents[2]
PAGE = "docs/signals.md"
TEXT = pages.text_of(PAGE)
RESULTS = json.loads((ROOT / "benchmarks" / "results" / "ensemble.json").read_text())


def table(header):
    """Cells of the rows of the table that begins with a header, without it."""
    lines = TEXT[TEXT.index(header) :].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_every_block_runs_and_prints_what_the_page_says():
    done = pages.run(PAGE)
    expected = pages.expected(PAGE)
    assert len(expected) == 2
    for (_, says), printed in zip(expected, done.printed, strict=True):
        assert says is None or printed == says
    assert np.isnan([values[2] for values in done.names["found"].values()]).all()


def test_replies_are_read_as_the_table_says():
    rows = table("| reply |")
    assert len(rows) > 8
    for replies, *readings in rows:
        for reply in re.findall(r"`([^`]+)`", replies):
            for scale, says in zip(("percent", "unit"), readings, strict=True):
                expected = None if says.startswith("none") else pytest.approx(float(says))
                assert signals.read_confidence(reply, scale) == expected, (reply, scale)


def test_the_figures_are_those_of_the_benchmark():
    rows = table("| model | best single signal |")
    assert len(rows) == len(RESULTS["models"])
    for model, single, nll, ours_nll, auroc, ours_auroc in rows:
        found = RESULTS["models"][model]
        methods, rivals = found["methods"], found["rivals"]
        assert single == rivals["lowest nll"]
        assert nll == f"{methods[single]['nll']:.3f}"
        assert auroc == f"{methods[rivals['highest auroc']]['auroc']:.3f}"
        assert ours_nll.strip("*") == f"{methods['ensemble']['nll']:.3f}"
        assert ours_auroc.strip("*") == f"{methods['ensemble']['auroc']:.3f}"


def test_the_example_prefers_three_signals_to_one(capsys):
    runpy.run_path(str(ROOT / "examples" / "ensemble.py"), run_name="__main__")
    printed = capsys.readouterr().out
    losses = [float(number) for number in re.findall(r"NLL (0\.\d+)", printed)]
    assert losses[1] < losses[2] < losses[0]


@pytest.mark.slow
def test_the_bundled_model_states_numbers_and_repeats_what_it_knows():
    lm = LanguageModel.from_pretrained("bundled:smollm2", dtype="bfloat16")
    questions = ["What is the capital of France?", "Who was the third king of Hungary?"]
    answers = ["The capital of France is Paris.", "The third king of Hungary was Peter."]
    stated = signals.stated_confidence(lm, questions, answers, chat=True)
    assert stated.parse_rate >= 0.5

    def same_place(_question, pairs):
        return ["Paris" in a and "Paris" in b for a, b in pairs]

    again = signals.consistency(
        lm, questions, answers, chat=True, n_samples=6, equivalence=same_place
    )
    assert again.agreement[0] >= 0.5 > again.agreement[1] == 0
    assert again.certainty[0] > again.certainty[1]
