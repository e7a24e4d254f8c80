"""Streaming metrics: numpy's number from any split, dtype, collection, process group, Trainer."""

import lightning
import numpy as np
import pytest
import streaming_worker
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import MetricCollection

from thermometer import _lightning, metrics
from thermometer.metrics.streaming import ExpectedCalibrationError, SmoothCalibrationError

confidences = st.floats(0, 1) | st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.7, 1.0])
batches = st.lists(st.lists(st.tuples(confidences, st.booleans()), max_size=8), max_size=5)


def simulate(n, seed=0):
    rng = np.random.default_rng(seed)
    confidence = rng.random(n)
    return confidence, rng.random(n) < confidence**1.5


def both():
    return {"ece": ExpectedCalibrationError(10), "smooth": SmoothCalibrationError()}


def expected(confidence, correct):
    return {
        "ece": metrics.expected_calibration_error(confidence, correct, 10),
        "smooth": metrics.smooth_ece(confidence, correct),
    }


@given(batches.filter(lambda rows: any(rows)))
@settings(max_examples=60, deadline=None)
def test_any_split_gives_the_number_of_all_rows(parts):
    collection = both()
    for rows in parts:
        confidence = torch.tensor([c for c, _ in rows], dtype=torch.float64)
        correct = torch.tensor([y for _, y in rows], dtype=torch.bool)
        for metric in collection.values():
            metric.update(confidence, correct)
    whole = expected(*zip(*[row for rows in parts for row in rows], strict=True))
    for name, metric in collection.items():
        assert float(metric.compute()) == pytest.approx(whole[name], abs=1e-8), name
        assert metric.compute().dtype == torch.float64


@pytest.mark.parametrize("n_bins", [1, 3, 7, 10, 15, 49, 100])
def test_bins_are_those_of_numpy_to_the_last_bit(n_bins):
    edges = np.arange(n_bins + 1) / n_bins
    near = np.r_[edges, np.nextafter(edges, 0), np.nextafter(edges, 1)]
    metric = ExpectedCalibrationError(n_bins)
    metric.update(torch.tensor(near), torch.zeros(len(near)))
    sums = np.bincount(metrics.bin_index(near, n_bins), near)
    assert metric.total.numpy() == pytest.approx(sums, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("outcome", [torch.bool, torch.int64, torch.float32])
def test_every_dtype_is_taken_at_its_value(dtype, outcome):
    confidence, correct = simulate(2000)
    rounded = torch.tensor(confidence).to(dtype)
    whole = expected(rounded.double().numpy(), correct)
    for name, metric in both().items():
        metric.update(rounded, torch.tensor(correct).to(outcome))
        assert float(metric.compute()) == pytest.approx(whole[name], abs=1e-10)


def test_forward_gives_the_batch_and_keeps_the_rest():
    confidence, correct = (torch.tensor(column) for column in simulate(300))
    for name, metric in both().items():
        first = metric(confidence[:100], correct[:100])
        second = metric(confidence[100:], correct[100:])
        alone = expected(confidence[:100].numpy(), correct[:100].numpy())[name]
        assert float(first) == pytest.approx(alone, abs=1e-9)
        assert float(second) != pytest.approx(alone, abs=1e-4)
        whole = expected(confidence.numpy(), correct.numpy())[name]
        assert float(metric.compute()) == pytest.approx(whole, abs=1e-9)
        metric.reset()
        metric.update(confidence[:100], correct[:100])
        assert float(metric.compute()) == pytest.approx(alone, abs=1e-9)


def test_a_collection_and_a_copy_and_a_state_dict():
    confidence, correct = (torch.tensor(column) for column in simulate(300))
    collection = MetricCollection({**both(), "fine": ExpectedCalibrationError(100)})
    collection.persistent(True)
    collection.update(confidence[:200], correct[:200])
    copy = collection.clone()
    loaded = MetricCollection({**both(), "fine": ExpectedCalibrationError(100)})
    loaded.load_state_dict(collection.state_dict())
    whole = expected(confidence.numpy(), correct.numpy())
    for several in (collection, copy, loaded):
        several.update(confidence[200:], correct[200:])
        values = several.compute()
        assert float(values["ece"]) == pytest.approx(whole["ece"], abs=1e-9)
        assert float(values["smooth"]) == pytest.approx(whole["smooth"], abs=1e-9)
        assert values["fine"] > values["ece"]


def test_half_of_the_module_leaves_the_state_and_set_dtype_changes_it():
    confidence, correct = simulate(1000)
    for name, metric in both().items():
        assert metric.half().total.dtype == torch.float64
        single = metric.set_dtype(torch.float32)
        single.update(torch.tensor(confidence), torch.tensor(correct))
        assert single.compute().dtype == torch.float32
        whole = expected(confidence, correct)[name]
        assert float(single.compute()) == pytest.approx(whole, abs=1e-5)


@pytest.mark.parametrize("name", ["ece", "smooth"])
def test_nothing_gives_nan_with_a_warning(name):
    metric = both()[name]
    with pytest.warns(UserWarning, match="compute"):
        assert torch.isnan(metric.compute())
    metric.reset()
    metric.update(torch.empty(0), torch.empty(0))
    assert torch.isnan(metric.compute())
    metric.update(torch.tensor([0.25]), torch.tensor([1]))
    assert float(metric.compute()) == pytest.approx(0.75)


@pytest.mark.parametrize("name", ["ece", "smooth"])
@pytest.mark.parametrize(
    ("confidence", "correct", "message"),
    [
        ([0.5, float("nan")], [0, 1], "`confidence` to be finite, but got nan at row 1"),
        ([0.5, 1.5], [0, 1], r"`confidence` to be in \[0, 1\], but got 1.5 at row 1"),
        ([0.5, 0.5], [0, 2], r"`correct` to be in \[0, 1\], but got 2.0 at row 1"),
        ([0.5, 0.5], [0], r"`correct` to be of shape \(2,\), but got shape \(1,\)"),
        ([[0.5]], [[1]], r"`confidence` to be of shape \(N,\), but got shape \(1, 1\)"),
    ],
)
def test_bad_batches_are_refused_and_leave_no_trace(name, confidence, correct, message):
    metric = both()[name]
    with pytest.raises(ValueError, match=message):
        metric.update(torch.tensor(confidence), torch.tensor(correct))
    assert metric.rows == 0
    assert not metric.total.any()
    with pytest.raises(TypeError, match="`confidence` to be a tensor, but got list"):
        metric.update([0.5], [1])


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="`n_bins`"):
        ExpectedCalibrationError(0)
    with pytest.raises(TypeError, match="`n_bins`"):
        ExpectedCalibrationError(2.0)


class Validation(lightning.LightningModule):
    """A module that only measures."""

    def __init__(self):
        super().__init__()
        self.metrics = MetricCollection(both())

    def validation_step(self, batch, batch_idx):
        self.metrics.update(*batch)
        self.log_dict(dict(self.metrics.items()), on_step=False, on_epoch=True)


def test_lightning_logs_them():
    confidence, correct = simulate(300)
    rows = TensorDataset(torch.tensor(confidence), torch.tensor(correct))
    silent = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    with _lightning.quiet():
        trainer = lightning.Trainer(accelerator="cpu", **dict.fromkeys(silent, False))
        (logged,) = trainer.validate(Validation(), DataLoader(rows, batch_size=64), verbose=False)
    whole = expected(confidence, correct)
    assert logged == pytest.approx(whole, abs=1e-6)


@pytest.mark.slow
def test_two_processes_add_up_to_one(tmp_path):
    confidence, correct = simulate(1003)
    np.save(tmp_path / "rows.npy", np.array([confidence, correct], float))
    torch.multiprocessing.spawn(streaming_worker.work, args=(2, str(tmp_path)), nprocs=2)
    whole = expected(confidence, correct)
    for rank, own in enumerate([803, 200]):
        rows, ece, smooth, *after = np.load(tmp_path / f"rank{rank}.npy")
        assert rows == own  # the state is this process's again
        assert ece == pytest.approx(whole["ece"], abs=1e-10)
        assert smooth == pytest.approx(whole["smooth"], abs=1e-8)
        assert after == pytest.approx([0.4, 0.4], abs=1e-8)  # two rows, one of them right
