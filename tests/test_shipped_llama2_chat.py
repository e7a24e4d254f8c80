"""The shipped checkpoint for three answering models: it loads, and says how it was measured."""

from pathlib import Path

import numpy as np
import pytest

import thermometer as th
from thermometer.adaptation import for_model
from thermometer.tables import OutputTable

FOLDER = Path(__file__).parent.parent / "checkpoints" / "llama2-chat"
SIZES = {"7b": 3.9, "13b": 3.0, "70b": 2.1}  # one temperature of each, docs/results.md


@pytest.fixture(scope="module")
def calibrator():
    return th.Calibrator.from_pretrained(FOLDER)


@pytest.mark.parametrize(("size", "temperature"), SIZES.items())
def test_every_model_has_its_own_temperature(calibrator, size, temperature):
    """On scores that are usual for the model, temperatures are around its one temperature."""
    ours = for_model(calibrator, f"Llama-2-{size}-chat-hf")
    assert ours.pooled_temperature == pytest.approx(temperature, rel=0.1)
    rng = np.random.default_rng(0)
    table = OutputTable.from_arrays(
        [f"q{i}" for i in range(60)],
        ["task"] * 60,
        scores=rng.normal(size=(60, 4)) * 2.2,
        features=np.tile(ours.thermometer.shift.numpy(), (60, 1)),
    )
    found = ours.calibrate(table).task_temperature
    assert found == pytest.approx(temperature, rel=0.5)


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
