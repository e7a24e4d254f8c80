import math

import numpy as np
import pytest
import torch
from scipy import stats

from thermometer.objective import gamma_prior_nll, mean_inverse, scaled_nll
from thermometer.scaling import harmonic_mean


def ragged(n=40, dtype=torch.float64, seed=0):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(n, 5)) * 6
    n_options = rng.integers(2, 6, size=n)
    scores[np.arange(5) >= n_options[:, None]] = -np.inf
    labels = (rng.random(n) * n_options).astype(int)
    log_inverse = rng.normal(size=n)
    return (
        torch.tensor(scores, dtype=dtype),
        torch.tensor(labels),
        torch.tensor(log_inverse, dtype=dtype),
    )


def literal_nll(scores, labels, log_inverse):
    """From the formula, one row and one option at a time."""
    rows = []
    for row, label, b in zip(scores.tolist(), labels.tolist(), log_inverse.tolist(), strict=True):
        temperature = math.exp(-b)
        odds = [math.exp(s / temperature) for s in row if s > -math.inf]
        rows.append(-math.log(odds[label] / sum(odds)))
    return np.array(rows)


def test_nll_is_that_of_the_formula():
    scores, labels, b = ragged()
    np.testing.assert_allclose(scaled_nll(scores, labels, b), literal_nll(scores, labels, b))


def test_nll_at_one_temperature_for_all_rows():
    scores, labels, _ = ragged()
    one = scaled_nll(scores, labels, torch.tensor(0.7))
    expected = literal_nll(scores, labels, torch.full((40,), 0.7).double())
    np.testing.assert_allclose(one, expected, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_nll_is_at_least_float32(dtype):
    scores, labels, b = ragged()
    got = scaled_nll(scores.to(dtype), labels, b.to(dtype))
    assert got.dtype == torch.float32
    expected = literal_nll(scores.to(dtype).double(), labels, b.to(dtype).double())
    np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-5)


def test_gradient_of_ragged_rows_is_that_of_finite_differences():
    scores, labels, b = ragged()
    b.requires_grad_()
    scores.requires_grad_()
    scaled_nll(scores, labels, b).sum().backward()
    step = 1e-6
    with torch.no_grad():
        numeric = scaled_nll(scores, labels, b + step) - scaled_nll(scores, labels, b - step)
    np.testing.assert_allclose(b.grad, numeric / (2 * step), rtol=1e-5, atol=1e-7)
    assert scores.grad.isfinite().all()
    assert (scores.grad[scores.isneginf()] == 0).all()
    assert b.grad.abs().min() > 0  # so that a gradient of zeros cannot pass


@pytest.mark.parametrize("b", [-6.9, 6.9])
def test_gradients_stay_finite_at_extreme_temperatures(b):
    scores, labels, _ = ragged(dtype=torch.float32)
    value = torch.full((40,), b, requires_grad=True)
    scaled_nll(scores * 100, labels, value).mean().backward()
    assert value.grad.isfinite().all()


def test_gamma_prior_is_that_of_scipy():
    temperature = np.geomspace(1e-3, 1e3, 50)
    got = gamma_prior_nll(torch.tensor(-np.log(temperature)), shape=1.7, scale=2.5)
    np.testing.assert_allclose(got, -stats.gamma.logpdf(temperature, a=1.7, scale=2.5))


@pytest.mark.parametrize(
    ("temperature", "expected"),
    [(0.5, 1.9329), (1, 1.8846), (2, 1.9613), (3, 2.1099), (5, 2.4822)],  # of the authors' code
)
def test_gamma_prior_of_the_paper(temperature, expected):
    got = gamma_prior_nll(torch.tensor(-math.log(temperature)))
    assert float(got) == pytest.approx(expected, abs=5e-5)


def test_gamma_prior_has_its_mode_at_one():
    b = torch.zeros((), requires_grad=True)
    gamma_prior_nll(b).backward()
    assert float(b.grad) == pytest.approx(0, abs=1e-6)
    assert gamma_prior_nll(torch.tensor(0.1)) > gamma_prior_nll(torch.tensor(0.0))


def test_mean_inverse_is_the_harmonic_mean_of_temperatures():
    temperature = np.random.default_rng(0).uniform(0.3, 8, size=30)
    segment_ids = torch.tensor([0, 1, 1, 2, 2, 2] * 5)
    got = mean_inverse(torch.tensor(-np.log(temperature)), segment_ids)
    for task in range(3):
        own = temperature[segment_ids.numpy() == task]
        assert math.exp(-got[task]) == pytest.approx(harmonic_mean(own), rel=1e-12)
        assert math.exp(-got[task]) == pytest.approx(stats.hmean(own), rel=1e-12)


def test_mean_inverse_in_mixed_precision():
    b = torch.randn(8, dtype=torch.bfloat16)
    segment_ids = torch.tensor([0, 0, 1, 1, 1, 1, 2, 2])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = mean_inverse(b, segment_ids)
    np.testing.assert_allclose(got.float(), mean_inverse(b.float(), segment_ids), atol=0.03)
