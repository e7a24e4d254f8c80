"""The shipped checkpoint for three answering models: it loads, and says how it was measured."""

from pathlib import Path

import numpy as np
import pytest

import thermometer as th
from thermometer.adaptation import for_model
from thermometer.tables import OutputTable

FOLDER = Path(__file__).parent.parent / "checkpoints" / "llama2-chat"
SIZES = {"7b": 3.9, "13b": 3.0, "70b": 2.1}  # one temperature of each, docs/results.md
RECORDED = {
    "7b": [5.37396, 5.49035, 4.81212, 6.38912],
    "13b": [4.02416, 4.19628, 3.69503, 4.8697],
    "70b": [2.83538, 3.02972, 2.62224, 3.47712],
}


@pytest.fixture(scope="module")
def calibrator():
    return th.Calibrator.from_pretrained(FOLDER)


@pytest.mark.parametrize(("size", "temperature"), SIZES.items())
def test_every_model_has_its_own_temperature(calibrator, size, temperature):
    """The recorded ones, on features and scores that are the same on every machine."""
    ours = for_model(calibrator, f"Llama-2-{size}-chat-hf")
    assert ours.pooled_temperature == pytest.approx(temperature, rel=0.03)
    table = OutputTable.from_arrays(
        [f"q{i}" for i in range(4)],
        ["task"] * 4,
        scores=5 * np.cos(np.arange(16.0)).reshape(4, 4),
        features=np.sin(np.arange(4.0 * 576)).reshape(4, 576),
    )
    assert ours.temperature(table) == pytest.approx(RECORDED[size], rel=1e-3)


def test_the_card_states_how_it_was_measured(calibrator):
    card = (FOLDER / "README.md").read_text()
    for words in ("Hendrycks et al. 2021", "Five folds over subjects", "NLL gap closed"):
        assert words in card
    measured = calibrator.metrics["chat"]["models"]
    for size in SIZES:
        row = measured[f"Llama-2-{size}-chat-hf, trained on"]
        assert f"{row['gap_closed']:.0%} | {row['pooled_ece']:.3f} |" in card
    assert len(calibrator.train_tasks) == 57
    assert (FOLDER / "model.safetensors").stat().st_size < 3e6
