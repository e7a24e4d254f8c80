"""Early signs: uniform ranks, rare false signs, drift that is found, and going on exactly."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from thermometer.monitoring import alarm
from thermometer.monitoring.alarm import N_EDGES, N_LEARNED, EarlySign


def ranks(values):
    """The ranks that a sign bets on."""
    sign, found = EarlySign("x"), []
    uniform = alarm.uniform_numbers(0, len(values))
    for value, v in zip(values, uniform, strict=True):
        if len(sign._first) < N_LEARNED:
            sign._first.append(float(value))
        else:
            found.append(sign._rank(float(value), float(v)))
    return np.array(found)


@pytest.mark.parametrize("draw", ["normal", "few"])
def test_ranks_are_uniform_and_independent(draw):
    rng = np.random.default_rng(0)
    values = rng.normal(size=20_000) if draw == "normal" else rng.choice([0.8, 0.9, 1.0], 20_000)
    u = ranks(values)
    assert len(u) == 20_000 - N_LEARNED
    assert stats.kstest(u, "uniform").pvalue > 1e-3
    assert stats.kstest(u[:200], "uniform").pvalue > 1e-3
    for lag in (1, 2, 10):
        assert abs(np.corrcoef(u[:-lag], u[lag:])[0, 1]) < 4 / np.sqrt(len(u))


def test_a_rank_counts_what_was_below_and_shares_what_is_equal():
    rng = np.random.default_rng(1)
    values = rng.normal(size=300)
    edges = np.quantile(values[:N_LEARNED], np.linspace(0, 1, N_EDGES + 2)[1:-1])
    cells = [(edges < value).sum() + (edges <= value).sum() for value in values]
    cells = np.array(cells)
    uniform = alarm.uniform_numbers(0, 300)
    for row, u in enumerate(ranks(values)):
        t = N_LEARNED + row
        past = cells[N_LEARNED:t]
        below, equal = (past < cells[t]).sum(), (past == cells[t]).sum()
        assert u == pytest.approx((below + uniform[t] * (equal + 1)) / (row + 1))


def test_every_bet_is_fair():
    for bet in range(len(alarm.TILTS)):
        mean, _ = integrate.quad(lambda u, bet=bet: alarm.rank_factors(u)[bet], 0, 1, points=[0.5])
        assert mean == pytest.approx(1)


def test_exchangeable_numbers_seldom_raise_a_sign():
    """100 streams of 1,500; the benchmark has 1,000 of 10,000."""
    rng = np.random.default_rng(2)
    raised = sum(bool(EarlySign("x", 0.1).update(rng.gamma(2, size=1500))) for _ in range(100))
    assert raised <= stats.binom.ppf(0.999, 100, 0.1)


@pytest.mark.parametrize(
    ("change", "direction"),
    [
        (lambda x: x + 0.8, "higher"),
        (lambda x: x - 0.8, "lower"),
        (lambda x: 2.5 * x, "wider"),
        (lambda x: 0.3 * x, "narrower"),
    ],
)
def test_drift_is_found_with_its_direction_and_onset(change, direction):
    rng = np.random.default_rng(3)
    values = rng.normal(size=3000)
    values[2000:] = change(values[2000:])
    sign = EarlySign("temperature").update(values)[0]
    assert sign.direction == direction
    assert 2000 < sign.raised < 2300
    assert abs(sign.onset - 2001) < 60
    assert sign.name == "temperature"


def test_numbers_that_were_all_the_same_may_become_less():
    """Stated confidences repeat: 0.8 is an edge, and what is below it is another cell."""
    signs = EarlySign("confidence").update([0.8] * 500 + [0.6] * 100)
    assert [sign.direction for sign in signs] == ["lower"]
    assert EarlySign("confidence").update([0.8] * 2000) == []


def test_after_a_sign_the_new_level_is_the_usual_one():
    rng = np.random.default_rng(4)
    values = rng.normal(size=6000) + np.repeat([0.0, 1.5, 0.0], 2000)
    signs = EarlySign("x").update(values)
    assert [sign.direction for sign in signs] == ["higher", "lower"]


@given(st.lists(st.integers(1, 1199), max_size=8))
@settings(max_examples=15, deadline=None)
def test_split_and_resumed_anywhere_it_says_the_same_to_the_last_bit(cuts):
    rng = np.random.default_rng(5)
    values = rng.normal(size=1200) + np.repeat([0.0, 1.0], 600)
    whole = EarlySign("x")
    expected = whole.update(values)
    assert expected
    sign, found = EarlySign("x"), []
    for start, end in pairwise(sorted({0, *cuts, 1200})):
        found += sign.update(values[start:end])
        state = sign.to_vector()
        sign = EarlySign("x")
        sign.load_vector(state)
    assert found == expected
    assert sign.to_vector().tolist() == whole.to_vector().tolist()


def test_what_is_no_number_is_refused():
    with pytest.raises(ValueError, match="finite"):
        EarlySign("x").update([1.0, float("nan")])
    sign = EarlySign("x")
    sign.update([0.5] * 300)
    state = sign.to_vector()
    state[-sign._wealth.to_vector().size] = -8.0  # events that the wealth has seen
    with pytest.raises(ValueError, match=r"`state`.*0 or more events"):
        EarlySign("x").load_vector(state)
    with pytest.raises(ValueError, match="level"):
        EarlySign("x", 2.0)
