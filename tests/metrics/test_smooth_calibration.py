"""The smooth calibration error: reference values, literal loops, its two halves, edge cases."""

import numpy as np
import pytest
import reference

from thermometer import metrics
from thermometer.metrics.calibration_error import (
    fine_density,
    grid_shares,
    residual_density,
    smooth_ece_at_fixed_point,
    smooth_ece_of,
)


def simulate(seed, n, kind):
    """The data on which relplot's own code was run (docs: methods, section 5)."""
    rng = np.random.default_rng(seed)
    f, u = rng.random(n), rng.random(n)
    if kind == "wave":
        return f, u < np.clip(f - 0.2 * np.sin(2 * np.pi * f), 0, 1)
    if kind == "calibrated":
        return f, u < f
    return np.full(n, 0.9), u < 0.6


# The values of relplot 1.0.3: smooth ECE, at bandwidth 0.05, and binned ECE with 10 bins.
RELPLOT = [
    ((0, 200, "wave"), 0.124721, 0.141982, 0.150807),
    ((0, 2000, "wave"), 0.107854, 0.117241, 0.117150),
    ((1, 10_000, "calibrated"), 0.0131537, 0.0088600, 0.0126313),
    ((2, 5000, "constant"), 0.3000, 0.3000, 0.3000),
]


@pytest.mark.parametrize(("data", "smooth", "at_005", "binned"), RELPLOT)
def test_reference_values_of_relplot(data, smooth, at_005, binned):
    confidence, correct = simulate(*data)
    assert metrics.smooth_ece(confidence, correct) == pytest.approx(smooth, abs=5e-4)
    assert metrics.smooth_ece(confidence, correct, 0.05) == pytest.approx(at_005, abs=8e-4)
    ours = metrics.expected_calibration_error(confidence, correct, 10)
    assert ours == pytest.approx(binned, abs=5e-7)


@pytest.mark.parametrize("bandwidth", [0.02, 0.125, 0.6])
def test_smooth_ece_equals_the_sum_of_reflections(bandwidth):
    confidence, correct = (array[:40] for array in simulate(5, 200, "wave"))
    slow = reference.smooth_ece_at(confidence, correct, bandwidth)
    assert metrics.smooth_ece(confidence, correct, bandwidth) == pytest.approx(slow, abs=2e-6)


def test_smooth_ece_is_the_fixed_point():
    confidence, correct = simulate(0, 200, "wave")
    ours = metrics.smooth_ece(confidence, correct)
    assert metrics.smooth_ece(confidence, correct, ours) == pytest.approx(ours, abs=1e-8)
    some = (confidence[:25], correct[:25])
    assert metrics.smooth_ece(*some) == pytest.approx(reference.smooth_ece(*some), abs=4e-4)


def test_smooth_ece_at_the_ends():
    assert metrics.smooth_ece([1.0, 0.0], [1, 0]) == 0
    assert metrics.smooth_ece([1.0], [0]) == pytest.approx(1.0)
    assert metrics.smooth_ece([0.0, 0.0], [1, 1]) == pytest.approx(1.0)
    assert metrics.smooth_ece([0.999], [1]) == pytest.approx(0.001)


def test_smooth_ece_of_many_resamples_equals_one_by_one():
    confidence, correct = simulate(0, 600, "wave")
    correct = correct.astype(float)
    parts = [slice(0, 200), slice(200, 600)]
    density = np.array([residual_density(confidence[p], correct[p]) for p in parts])
    counts, sizes = np.array([[1.0, 1.0], [3.0, 0.0], [0.0, 1.0]]), np.array([200.0, 400.0])
    ours = smooth_ece_of(counts @ density / (counts @ sizes)[:, None])
    alone = [metrics.smooth_ece(confidence[p], correct[p]) for p in (slice(0, 600), *parts)]
    assert ours == pytest.approx(alone, abs=2e-4)


@pytest.mark.parametrize("power", [0.3, 1.0, 1.5, 20.0])
@pytest.mark.parametrize("n", [1, 30, 1000, 100_000])
def test_few_points_are_enough_for_broad_kernels(n, power):
    rng = np.random.default_rng(n)
    densities = []
    for _ in range(6):
        confidence = rng.random(n)
        correct = (rng.random(n) < confidence**power).astype(float)
        densities.append(residual_density(confidence, correct) / n)
    alone = [smooth_ece_at_fixed_point(density) for density in densities]
    assert smooth_ece_of(np.array(densities)) == pytest.approx(alone, abs=9e-5)


def test_densities_of_parts_add_up_and_rows_alone_are_a_matrix():
    confidence, correct = simulate(0, 500, "wave")
    confidence = np.r_[confidence, 0.0, 1.0, 1.0, 0.5]
    correct = np.r_[correct, 1, 0, 1, 1].astype(float)
    whole = residual_density(confidence, correct)
    parts = residual_density(confidence[:100], correct[:100]) + residual_density(
        confidence[100:], correct[100:]
    )
    np.testing.assert_allclose(parts, whole, atol=1e-9)
    shared = (confidence - correct) @ grid_shares(confidence)
    np.testing.assert_allclose(shared, whole, atol=1e-9)
    trapezoid = (whole.sum() - (whole[0] + whole[-1]) / 2) / (len(whole) - 1)
    assert trapezoid == pytest.approx((confidence - correct).sum())


def test_rows_are_read_in_pieces_without_a_seam():
    confidence, correct = simulate(6, 100_000, "wave")
    density = residual_density(confidence, correct.astype(float), 1 << 14) / 100_000
    np.testing.assert_allclose(fine_density(confidence, correct), density, atol=1e-9)
    assert metrics.smooth_ece(confidence, correct) == smooth_ece_at_fixed_point(
        fine_density(confidence, correct)
    )
