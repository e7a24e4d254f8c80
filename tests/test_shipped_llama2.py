"""The shipped checkpoints for three answering models: they load, and say how they were measured."""

from pathlib import Path

import numpy as np
import pytest

import thermometer as th
from thermometer.adaptation import for_model
from thermometer.tables import OutputTable

FOLDER = Path(__file__).parent.parent / "checkpoints"
SIZES = {"7b": 3.9, "13b": 3.0, "70b": 2.1}  # one temperature of each, docs/results.md
RECORDED = {
    "llama2-chat": {
        "7b": [3.66063, 4.36376, 5.06383, 4.3432],
        "13b": [2.58053, 3.22383, 3.71606, 3.10209],
        "70b": [1.67759, 2.22728, 2.48442, 2.02891],
    },
    "llama2-chat-beside-base": {
        "7b": [4.54407, 4.19001, 4.83403, 4.92468],
        "13b": [3.23993, 3.07593, 3.5065, 3.58233],
        "70b": [2.15377, 2.17455, 2.4254, 2.40029],
    },
}


@pytest.fixture(scope="module", params=RECORDED)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def calibrator(name):
    return th.Calibrator.from_pretrained(FOLDER / name)


@pytest.mark.parametrize(("size", "temperature"), SIZES.items())
def test_every_model_has_its_own_temperature(calibrator, name, size, temperature):
    """The recorded ones, on features and scores that are the same on every machine."""
    ours = for_model(calibrator, f"Llama-2-{size}-chat-hf")
    assert ours.pooled_temperature == pytest.approx(temperature, rel=0.03)
    ids, tasks, number = [f"q{i}" for i in range(4)], ["task"] * 4, np.arange(16.0).reshape(4, 4)
    features = np.sin(np.arange(4.0 * 576)).reshape(4, 576)
    table = OutputTable.from_arrays(ids, tasks, scores=5 * np.cos(number), features=features)
    if ours.record.reference:
        second = OutputTable.from_arrays(ids, tasks, scores=np.sin(number))
        table = table.with_reference(second)
    assert ours.temperature(table) == pytest.approx(RECORDED[name][size], rel=1e-3)


def test_the_card_states_how_it_was_measured(calibrator, name):
    card = (FOLDER / name / "README.md").read_text()
    for words in ("Hendrycks et al. 2021", "Five folds over subjects", "NLL gap closed"):
        assert words in card
    record = calibrator.record
    assert ("reads reference scores of | `Llama-2-7b-hf`" in card) == bool(record.reference)
    measured = record.metrics["chat"]["models"]
    for size in SIZES:
        row = measured[f"Llama-2-{size}-chat-hf, trained on"]
        assert f"{row['gap_closed']:.0%} | {row['pooled_ece']:.3f} |" in card
    assert len(calibrator.train_tasks) == 57
    assert (FOLDER / name / "model.safetensors").stat().st_size < 3e6
