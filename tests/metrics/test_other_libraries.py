"""The metrics against torchmetrics, relplot, netcal and scikit-learn, where these are right.

Where one of them is wrong, or follows another convention, a test holds the number that it gives:
the test fails on the day that the library changes, and then says too much.
"""

import numpy as np
import pytest
import reference
import torch
from netcal.metrics import ECE, MCE
from relplot import metrics as relplot
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score
from torchmetrics.functional.classification import binary_calibration_error

from thermometer import metrics


def wave(seed=3, n=3000):
    rng = np.random.default_rng(seed)
    confidence = rng.random(n)
    right = rng.random(n) < np.clip(confidence - 0.2 * np.sin(2 * np.pi * confidence), 0, 1)
    return confidence, right.astype(float)


def torchmetrics_ece(confidence, correct, n_bins, norm="l1"):
    preds, target = torch.tensor(confidence), torch.tensor(correct).long()
    return float(binary_calibration_error(preds, target, n_bins, norm))


def netcal(metric, confidence, correct):
    return float(metric.measure(np.array(confidence), np.array(correct).astype(int)))


@pytest.mark.parametrize("norm", ["l1", "l2", "max"])
@pytest.mark.parametrize("n_bins", [1, 10, 15, 100])
def test_ece_equals_torchmetrics_inside_the_bins(n_bins, norm):
    confidence, correct = wave()
    ours = metrics.expected_calibration_error(confidence, correct, n_bins, norm=norm)
    theirs = torchmetrics_ece(confidence, correct, n_bins, norm)
    assert ours == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("n_bins", [1, 10, 15, 100])
def test_ece_equals_netcal_inside_the_bins(n_bins):
    confidence, correct = wave()
    ece = metrics.expected_calibration_error(confidence, correct, n_bins)
    assert ece == pytest.approx(netcal(ECE(n_bins), confidence, correct), abs=1e-12)
    largest = metrics.expected_calibration_error(confidence, correct, n_bins, norm="max")
    assert largest == pytest.approx(netcal(MCE(n_bins), confidence, correct), abs=1e-12)


@pytest.mark.parametrize("n_bins", [2, 10, 15])
def test_equal_mass_bins_equal_netcal_and_sklearn_without_ties(n_bins):
    confidence, correct = wave()
    ours = metrics.expected_calibration_error(confidence, correct, n_bins, binning="mass")
    theirs = netcal(ECE(n_bins, equal_intervals=False), confidence, correct)
    assert ours == pytest.approx(theirs, abs=1e-12)
    right, claimed = calibration_curve(correct, confidence, n_bins=n_bins, strategy="quantile")
    assert ours == pytest.approx(np.abs(right - claimed).mean(), abs=1e-12)


def test_binned_ece_equals_relplot_inside_the_bins():
    confidence, correct = wave()
    ours = metrics.expected_calibration_error(confidence, correct, 10)
    assert ours == pytest.approx(relplot.binnedECE(confidence, correct, 10), abs=1e-12)


@pytest.mark.parametrize("n", [200, 2000, 20_000])
def test_smooth_ece_equals_relplot_up_to_its_resolution(n):
    confidence, correct = wave(4, n)
    ours = metrics.smooth_ece(confidence, correct)
    theirs = relplot.smECE(confidence, correct)
    assert ours - 1e-3 < theirs < ours + 5e-4  # the error at the upper end of a bisection
    for sigma in (0.02, 0.05, 0.1):
        at_sigma = relplot.smECE_sigma(confidence, correct, sigma)
        assert metrics.smooth_ece(confidence, correct, sigma) == pytest.approx(at_sigma, abs=1e-3)


def test_losses_and_auroc_equal_sklearn():
    confidence, correct = wave()
    confidence = confidence.round(2).clip(0.01, 0.99)  # with ties
    assert metrics.binary_nll(confidence, correct) == pytest.approx(log_loss(correct, confidence))
    theirs = brier_score_loss(correct, confidence)
    assert metrics.binary_brier(confidence, correct) == pytest.approx(theirs, rel=1e-12)
    probs = np.stack([1 - confidence, confidence], axis=1)
    mean = metrics.brier(probs, correct.astype(int), "mean")
    assert mean == pytest.approx(theirs, rel=1e-12)
    assert metrics.auroc(confidence, correct) == pytest.approx(roc_auc_score(correct, confidence))


# Where they are wrong.


def test_a_confidence_of_1_has_a_bin_of_its_own_in_torchmetrics_and_relplot():
    confidence, correct = [0.95, 1.0], [1, 0]  # one bin: |0.975 - 0.5|
    assert metrics.expected_calibration_error(confidence, correct, 10) == pytest.approx(0.475)
    assert netcal(ECE(10), confidence, correct) == pytest.approx(0.475)
    # torchmetrics#3510
    assert torchmetrics_ece(confidence, correct, 10) == pytest.approx(0.525)
    theirs = relplot.binnedECE(np.array(confidence), np.array(correct), 10)
    assert theirs == pytest.approx(0.525)


def test_smooth_ece_of_relplot_falls_below_the_signed_gap_when_its_bandwidth_is_large():
    """It cannot: |integral of the smoothed residual| is the gap at every bandwidth."""
    confidence, correct = np.array([0.95, 1.0]), np.array([1.0, 0.0])
    gap = metrics.signed_gap(confidence, correct)
    assert gap == pytest.approx(0.475)
    assert metrics.smooth_ece(confidence, correct) >= gap - 1e-9
    assert relplot.smECE(confidence, correct) == pytest.approx(0.3014, abs=1e-4)
    # Reflected without end, a broad Gaussian is nearly flat; cut at a distance of 1/2, it is not.
    confidence, correct = wave(3, 300)
    slow = reference.smooth_ece_at(confidence, correct, 1.0, n_cells=100)
    assert metrics.smooth_ece(confidence, correct, 1.0) == pytest.approx(slow, abs=1e-5)
    assert relplot.smECE_sigma(confidence, correct, 1.0) == pytest.approx(0.05824, abs=1e-5)


def test_torchmetrics_takes_what_is_no_probability_for_logits():
    with pytest.raises(ValueError, match=r"`confidence` to be in \[0, 1\], but got 1.2 at row 0"):
        metrics.expected_calibration_error([1.2, 0.3], [1, 0], 10)
    assert torchmetrics_ece([1.2, 0.3], [1, 0], 10) == pytest.approx(0.402959, abs=1e-6)


def test_log_loss_of_sklearn_takes_less_for_an_impossible_outcome():
    """Both are finite by decree: half the log of the smallest distance from 1, and of any float."""
    assert log_loss([0, 1], [1.0, 1.0]) == pytest.approx(18.0218, abs=1e-4)
    assert metrics.binary_nll([1.0, 1.0], [0, 1]) == pytest.approx(354.1982, abs=1e-4)


# Where the convention differs.


def test_a_confidence_on_an_edge_opens_a_bin_in_torchmetrics_and_netcal():
    confidence, correct = [0.0, 0.1, 0.2, 0.3], [1, 0, 1, 1]
    ours = metrics.expected_calibration_error(confidence, correct, 10)
    assert ours == pytest.approx((abs(0.1 - 1) + 0.8 + 0.7) / 4)  # 0 and 0.1 share (0, 0.1]
    assert torchmetrics_ece(confidence, correct, 10) == pytest.approx((1 + 0.1 + 0.8 + 0.7) / 4)
    assert netcal(ECE(10), confidence, correct) == pytest.approx((1 + 0.1 + 0.8 + 0.7) / 4)
