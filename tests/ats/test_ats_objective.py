"""The selective smoothing loss against float64 loops, finite differences and its own minimum."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from thermometer.ats.network import (
    LOSSES,
    fit_token_temperature,
    selective_smoothing,
    token_losses,
    token_statistics,
)
from thermometer.scaling import fit_temperature

P, V = 30, 17


def world(seed=0, n=P, v=V, right=0.5):
    """Logits, tokens of which about a share is the most probable one, and b."""
    rng = np.random.default_rng(seed)
    logits = 4 * rng.normal(size=(n, v)) + 3
    targets = np.where(rng.random(n) < right, logits.argmax(axis=1), rng.integers(0, v, n))
    return (
        torch.tensor(logits),
        torch.tensor(targets),
        torch.tensor(rng.normal(size=n) / 2),
    )


def literal(logits, targets, b):
    """Losses of each token from the formula, one number at a time: nll, uniform, right."""
    rows = []
    for z, y, log_inverse in zip(logits.tolist(), targets.tolist(), b.tolist(), strict=True):
        odds = [math.exp(math.exp(log_inverse) * value) for value in z]
        logs = [math.log(o / math.fsum(odds)) for o in odds]
        rows.append((-logs[y], -math.fsum(logs) / len(z), z.index(max(z)) == y))
    return rows


def literal_loss(rows, loss, alpha, smoothing):
    right = [nll for nll, _, ok in rows if ok]
    wrong = [(1 - smoothing) * nll + smoothing * flat for nll, flat, ok in rows if not ok]
    if loss == "nll":
        return math.fsum(nll for nll, _, _ in rows) / len(rows)
    if loss == "selective":
        return ((1 - alpha) * math.fsum(right) + alpha * math.fsum(wrong)) / len(rows)
    n = len(rows)
    hard, soft = (1 - alpha) * len(wrong) / n, alpha * len(right) / n
    mean = [math.fsum(x) / len(x) if x else 0.0 for x in (right, wrong)]
    return (hard * mean[0] + soft * mean[1]) / (hard + soft)


def statistics(logits, targets, b, size=5):
    return token_statistics(logits.split(size, dim=1), targets, b)


@pytest.mark.parametrize("size", [1, 5, V])
def test_statistics_do_not_depend_on_the_chunks(size):
    logits, targets, b = world()
    got = statistics(logits, targets, b, size)
    scaled = logits * b.exp()[:, None]
    np.testing.assert_allclose(got.log_norm, scaled.logsumexp(1))
    np.testing.assert_allclose(got.expected, (scaled.softmax(1) * logits).sum(1))
    np.testing.assert_allclose(got.mean, logits.mean(1))
    np.testing.assert_allclose(got.label, logits[range(P), targets])
    np.testing.assert_allclose(got.top, logits.max(1).values)
    assert got.prediction.tolist() == logits.argmax(1).tolist()


def test_the_first_of_equal_tokens_is_the_prediction_in_any_chunks():
    logits = torch.zeros(1, 6)
    for size in (1, 2, 6):
        got = statistics(logits, torch.tensor([3]), torch.zeros(1), size)
        assert got.prediction.item() == 0


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("alpha", "smoothing"), [(0.5, 1.0), (0.2, 1.0), (0.7, 0.3)])
@pytest.mark.parametrize("right", [0.8, 0.3])
def test_loss_is_that_of_the_formula(loss, alpha, smoothing, right):
    logits, targets, b = world(right=right)
    got = selective_smoothing(statistics(logits, targets, b), b, loss, alpha, smoothing)
    expected = literal_loss(literal(logits, targets, b), loss, alpha, smoothing)
    assert float(got) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradient_is_that_of_finite_differences(loss):
    logits, targets, b = world(seed=1)
    b.requires_grad_()

    def value(at):
        rows = literal(logits, targets, at)
        return literal_loss(rows, loss, 0.3, 0.8)

    selective_smoothing(statistics(logits, targets, b), b, loss, 0.3, 0.8).backward()
    step = 1e-5
    for row in range(P):
        shift = step * torch.eye(P, dtype=torch.float64)[row]
        numeric = (value(b.detach() + shift) - value(b.detach() - shift)) / (2 * step)
        assert float(b.grad[row]) == pytest.approx(numeric, rel=1e-6, abs=1e-9)
    assert b.grad.abs().max() > 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_losses_are_at_least_float32(dtype):
    logits, targets, b = world()
    logits, b = logits.to(dtype), b.to(dtype)
    nll, uniform = token_losses(statistics(logits, targets, b), b)
    assert nll.dtype == uniform.dtype == torch.float32
    expected = literal(logits.double(), targets, b.double())
    np.testing.assert_allclose(nll, [row[0] for row in expected], rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(uniform, [row[1] for row in expected], rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("b", [-6.9, 2.3])
@pytest.mark.parametrize("loss", LOSSES)
def test_losses_and_gradients_stay_finite_at_extremes(loss, b):
    logits, targets, _ = world()
    at = torch.full((P,), b, requires_grad=True)
    value = selective_smoothing(statistics(100 * logits.float(), targets, at), at, loss)
    value.backward()
    assert value.isfinite()
    assert at.grad.isfinite().all()


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_balanced_loss_of_one_group_alone_is_zero_without_gradient(right):
    logits, _, _ = world()
    b = torch.zeros(P, dtype=torch.float64, requires_grad=True)
    best = logits.argmax(1)
    targets = best if right else (best + 1) % V
    value = selective_smoothing(statistics(logits, targets, b), b, "balanced")
    value.backward()
    assert value.item() == 0
    assert (b.grad == 0).all()


def test_an_unknown_loss_is_refused():
    logits, targets, b = world()
    with pytest.raises(ValueError, match="one of 'balanced', 'nll', 'selective', but got 'ce'"):
        selective_smoothing(statistics(logits, targets, b), b, "ce")


@pytest.mark.parametrize(
    ("loss", "confidence"), [("nll", 0.8), ("selective", 0.8 + 0.2 / 50), ("balanced", 0.2)]
)
def test_only_the_formula_of_the_paper_has_its_minimum_at_the_accuracy(loss, confidence):
    """Eight of ten tokens right, all other tokens alike; V is 50.

    The third is what weighing by the other group's size does; up to (1 - a) / V it is 1 - a.
    """
    logits = torch.zeros(10, 50, dtype=torch.float64)
    logits[:, 0] = 4.0
    targets = torch.tensor([0] * 8 + [7] * 2)

    def value(log_inverse):
        b = torch.full((10,), log_inverse, dtype=torch.float64)
        return float(selective_smoothing(statistics(logits, targets, b), b, loss))

    best = minimize_scalar(value, bounds=(-4, 2), method="bounded", options={"xatol": 1e-6}).x
    top = math.exp(4 * math.exp(best))
    assert top / (top + 49) == pytest.approx(confidence, abs=0.02 if loss == "balanced" else 1e-4)


def test_one_temperature_is_that_of_temperature_scaling():
    logits, targets, _ = world(seed=3, n=200, right=0.4)
    expected = fit_temperature(logits, targets).temperature
    got = fit_token_temperature(lambda: logits.split(4, dim=1), targets)
    assert got == pytest.approx(expected, rel=2e-3)
    assert abs(got - 1) > 0.1


def test_one_temperature_ends_at_its_bounds():
    logits, _, _ = world()
    top, least = logits.argmax(1), logits.argmin(1)
    assert fit_token_temperature(lambda: [logits], top) == pytest.approx(0.001)
    assert fit_token_temperature(lambda: [logits], least) == pytest.approx(1000)
