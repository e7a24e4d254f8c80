"""The checkpoints for three answering models: they load, and state how they were measured."""

from pathlib import Path

import numpy as np
import pytest

import thermometer as th
from thermometer.adaptation import for_model
from thermometer.tables import OutputTable

FOLDER = Path(__file__).parents[2] / "checkpoints"
SIZES = {"7b": 3.9, "13b": 3.0, "70b": 2.1}  # pooled temperatures, docs/results.md
RECORDED = {
    "llama2-chat": {
        "7b": [3.66063159, 4.36376064, 5.06382606, 4.34320084],
        "13b": [2.58053268, 3.22382687, 3.71605882, 3.10208695],
        "70b": [1.67758897, 2.22727681, 2.48442303, 2.0289064],
    },
    "llama2-chat-beside-base": {
        "7b": [4.54407051, 4.19000707, 4.83403176, 4.92467994],
        "13b": [3.23992556, 3.075929, 3.50650065, 3.58233306],
        "70b": [2.15377141, 2.1745506, 2.4254, 2.40028902],
    },
}


@pytest.fixture(scope="module", params=RECORDED)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def calibrator(name):
    return th.Calibrator.from_pretrained(FOLDER / name)


@pytest.mark.parametrize(("size", "temperature"), SIZES.items())
def test_every_model_has_its_recorded_temperatures(calibrator, name, size, temperature):
    """The recorded ones, on features and scores that are the same on every machine."""
    ours = for_model(calibrator, f"Llama-2-{size}-chat-hf")
    assert ours.pooled_temperature == pytest.approx(temperature, rel=0.03)
    ids, tasks, number = [f"q{i}" for i in range(4)], ["task"] * 4, np.arange(16.0).reshape(4, 4)
    features = np.sin(np.arange(4.0 * 576)).reshape(4, 576)
    table = OutputTable.from_arrays(ids, tasks, scores=5 * np.cos(number), features=features)
    if ours.record.reference:
        second = OutputTable.from_arrays(ids, tasks, scores=np.sin(number))
        table = table.with_reference(second)
    assert ours.temperature(table) == pytest.approx(RECORDED[name][size], rel=1e-6)


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
