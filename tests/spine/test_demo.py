"""The shipped checkpoint and the demo's config, on the bundled language model."""

import json
from functools import cache
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch

import thermometer as th
from thermometer.cli import main

ROOT = Path(__file__).parents[2]
RECORDED = Path(__file__).parents[1] / "data" / "demo_temperatures.json"


@pytest.fixture(scope="module", autouse=True)
def one_parsing():
    """The file of the bundled model is parsed once: transformers parses it four times a load."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gguf, "GGUFReader", cache(gguf.GGUFReader))
        yield


@pytest.fixture(scope="module")
def calibrator() -> th.Calibrator:
    return th.Calibrator.from_pretrained(ROOT / "checkpoints" / "demo")


def test_shipped_network_gives_the_recorded_temperatures(calibrator: th.Calibrator) -> None:
    width = calibrator.thermometer.n_features
    features = torch.sin(torch.arange(4 * width, dtype=torch.float64)).reshape(4, width).float()
    scores = 5 * torch.cos(torch.arange(16, dtype=torch.float64)).reshape(4, 4)
    recorded = json.loads(RECORDED.read_text())["of_sine_features_and_cosine_scores"]
    found = calibrator.thermometer(features, scores).numpy()
    np.testing.assert_allclose(found, recorded, rtol=1e-6)


def test_shipped_checkpoint_states_how_it_was_measured(calibrator: th.Calibrator) -> None:
    assert len(calibrator.train_tasks) >= 40
    closed = calibrator.record.metrics["methods"]["thermometer"]["mean_over_tasks"]["gap_closed"]
    assert closed["low"] <= closed["estimate"] <= closed["high"]


@pytest.mark.slow
def test_shipped_checkpoint_gives_the_recorded_temperatures_of_real_prompts(
    calibrator: th.Calibrator,
) -> None:
    """End to end in bfloat16, whose rounding differs between processors: hence the margin."""
    recorded = json.loads(RECORDED.read_text())["of_capitals_of_europe"]
    task = th.load_task("builtin:capitals", names=("capitals/europe",), limit=8, seed=7)
    scores = 5 * np.cos(np.arange(32)).reshape(8, 4)
    np.testing.assert_allclose(calibrator.temperature(task, scores), recorded, rtol=0.1)


@pytest.mark.slow
def test_the_demo_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The demo's config on two families, six questions each, small networks and few steps."""
    main(
        [
            *("run", "--config", str(ROOT / "configs" / "demo.yaml")),
            *("--tasks.names", '["capitals/*", "dates/*"]', "--tasks.limit", "6"),
            *("--protocol.folds", "3", "--training.max_steps", "20", "--n_resamples", "50"),
            *(
                "--network.n_components",
                "8",
                "--network.n_members",
                "2",
                "--out_dir",
                str(tmp_path),
            ),
        ]
    )
    assert "unseen tasks" in capsys.readouterr().out
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert len(report["tasks"]) == 9
    accuracies = {m["all_rows"]["accuracy"]["estimate"] for m in report["methods"].values()}
    assert len(accuracies) == 1
    for name in ("report.html", "report.md", "reliability.png", "temperatures.png"):
        assert (tmp_path / "report" / name).stat().st_size > 1000
    task = th.load_task("builtin:letters", names=("letters/first",), limit=4)
    loaded = th.Calibrator.from_pretrained(tmp_path / "checkpoint")
    scores = np.random.default_rng(0).normal(size=(len(task), 4))
    assert (loaded.temperature(task, scores) > 0).all()
