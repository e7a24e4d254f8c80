"""Bets and wealth against enumeration of all outcomes, and against sums over all starts."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thermometer.monitoring.alarm import Bets, Wealth, start_weight, unbet

unit = st.floats(0, 1)
tolerances = st.floats(0, 0.2)
FEW = Bets(tolerance=0.02, sizes=(0.5, 1.5), edges=(0.6,))


def expected(bets, confidence, chance):
    """Expectation of every factor of one answer that is right with a chance."""
    wrong, right = bets.factors([confidence, confidence], [0, 1])
    return (1 - chance) * wrong + chance * right


@given(unit, tolerances, st.floats(-1, 1))
@settings(max_examples=200, deadline=None)
def test_no_bet_can_be_expected_to_gain_within_the_tolerance(confidence, tolerance, place):
    bets = Bets(tolerance=tolerance)
    chance = min(max(confidence + place * tolerance, 0.0), 1.0)
    assert (expected(bets, confidence, chance) <= 1 + 1e-12).all()
    assert (bets.factors([confidence], [1]) > 0).all()
    assert (bets.factors([confidence], [0]) > 0).all()


@given(st.floats(0.25, 0.75), st.floats(0, 0.1))
@settings(max_examples=100, deadline=None)
def test_bets_are_fair_at_the_edge_of_the_tolerance_and_gain_beyond(confidence, tolerance):
    bets = Bets(tolerance=tolerance, sizes=(0.3,), edges=())
    up, down = bets.all.index((1, 0.3, 0.0, 1.0)), bets.all.index((-1, 0.3, 0.0, 1.0))
    assert expected(bets, confidence, confidence + tolerance)[up] == pytest.approx(1)
    assert expected(bets, confidence, confidence - tolerance)[down] == pytest.approx(1)
    assert expected(bets, confidence, min(confidence + tolerance + 0.1, 1))[up] > 1
    assert expected(bets, confidence, max(confidence - tolerance - 0.1, 0))[down] > 1


def test_factors_are_those_of_the_formula():
    for confidence, outcome in [(0.0, 1), (0.6, 0), (0.61, 1), (0.99, 0), (1.0, 0)]:
        factors = FEW.factors([confidence], [outcome])[0]
        for bet, factor in zip(FEW.all, factors, strict=True):
            inside = confidence <= bet.high and (confidence > bet.low or bet.low == 0)
            bound = min(max(confidence + bet.direction * 0.02, 0), 1)
            tilt = bet.direction * bet.size
            whole = math.exp(tilt * outcome) / (1 - bound + bound * math.exp(tilt))
            assert factor == pytest.approx(whole if inside else 1)
            assert factor <= math.exp(bet.size) * (1 + 1e-12)  # whatever one answer says


def test_stakes_are_half_on_all_confidences():
    assert FEW.shares.sum() == pytest.approx(1)
    whole = [bet.where == "all confidences" for bet in FEW.all]
    assert FEW.shares[whole].sum() == pytest.approx(0.5)
    assert Bets(edges=()).shares.tolist() == [1 / 6] * 6
    assert {bet.where for bet in FEW.all} == {
        "all confidences",
        "confidence above 0.6",
        "up to 0.6",
    }


@given(unit, st.booleans(), st.integers(0, len(FEW.all) - 1))
@settings(max_examples=200, deadline=None)
def test_recovery_is_fair_while_answers_are_off_by_half(confidence, correct, number):
    bet = FEW.all[number]
    half = Bets(tolerance=0.02, sizes=(bet.size / 2,), edges=(0.6,))
    same = half.all.index(bet._replace(size=bet.size / 2))
    assert FEW.recovery(bet, confidence, correct) == pytest.approx(
        1 / half.factors([confidence], [correct])[0, same]
    )
    bound = min(max(confidence + bet.direction * 0.02, 0.0), 1.0)
    tilt = math.exp(bet.direction * bet.size / 2)
    for further in (1.0, 0.5, 0.0):  # of the way from half the size to certainty
        chance = bound * tilt / (1 - bound + bound * tilt)
        end = 1.0 if bet.direction > 0 else 0.0
        chance += (end - chance) * (1 - further)
        mean = chance * FEW.recovery(bet, confidence, True)
        mean += (1 - chance) * FEW.recovery(bet, confidence, False)
        assert mean <= 1 + 1e-12


def test_wealth_is_the_sum_over_all_starts():
    rng = np.random.default_rng(0)
    c, y = rng.uniform(0, 1, 40), rng.random(40) < 0.3
    factors, wealth = FEW.factors(c, y), Wealth(FEW.shares)
    for t in range(40):
        total = wealth.step(factors[t], t + 1, float(t))
        slow = unbet(t + 1)
        for start in range(t + 1):
            products = factors[start : t + 1].prod(axis=0)
            slow += start_weight(start + 1) * FEW.shares @ products
        assert total == pytest.approx(slow)
        runs = np.array([factors[start : t + 1].prod(axis=0) for start in range(t + 1)])
        best = wealth.best
        assert runs[wealth.onset(best)[0] - 1, best] == pytest.approx(runs[:, best].max())
    assert wealth.n == 40


def test_the_money_is_never_more_than_one_and_is_all_bet_in_the_end():
    weights = np.array([start_weight(n) for n in range(1, 20_001)])
    assert (weights > 0).all()
    assert (np.diff(weights) < 0).all()
    assert weights.sum() + unbet(20_000) == pytest.approx(1)
    assert unbet(10**9) < 0.04


@pytest.mark.parametrize("place", [-1.0, 0.0, 0.4, 1.0])
def test_over_all_outcomes_wealth_is_fair_and_ville_holds(place):
    """Every sequence of eleven outcomes, with its probability: no chance in the test."""
    confidence = np.array([0.9, 0.3, 0.7, 0.55, 0.95, 0.8, 0.2, 0.65, 0.85, 0.5, 0.75])
    bets = Bets(tolerance=0.05, sizes=(0.5, 2.0), edges=(0.6,))
    chance = confidence + place * bets.tolerance
    mean, crossed = 0.0, dict.fromkeys((0.5, 0.2, 0.1), 0.0)
    for outcomes in itertools.product((0, 1), repeat=len(confidence)):
        y = np.array(outcomes)
        probability = np.where(y == 1, chance, 1 - chance).prod()
        wealth, highest = Wealth(bets.shares), 1.0
        for number, row in enumerate(bets.factors(confidence, y)):
            highest = max(highest, wealth.step(row, number, 0.0))
        mean += probability * wealth.total
        for level in crossed:
            crossed[level] += probability * (highest >= 1 / level)
    assert mean <= 1 + 1e-12
    assert all(chance <= level for level, chance in crossed.items())
    assert crossed[0.5] > 0  # it can happen


def test_a_bet_on_one_side_is_a_martingale_at_its_edge():
    """Equality, so that no money is lost: only the bet upwards, at the upper edge."""
    bets = Bets(tolerance=0.05, sizes=(1.0,), edges=())
    confidence, mean = np.array([0.9, 0.3, 0.7, 0.55, 0.6, 0.8]), 0.0
    for outcomes in itertools.product((0, 1), repeat=6):
        y = np.array(outcomes)
        wealth = Wealth(np.array([1.0]))
        for number, row in enumerate(bets.factors(confidence, y)[:, :1]):
            wealth.step(row, number, 0.0)
        mean += np.where(y == 1, confidence + 0.05, 0.95 - confidence).prod() * wealth.total
    assert mean == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tolerance": 1.0}, "tolerance"),
        ({"sizes": ()}, "sizes"),
        ({"sizes": (0.0,)}, "sizes"),
        ({"edges": (1.0,)}, "edges"),
        ({"edges": (0.7, 0.5)}, "ascending"),
    ],
)
def test_bets_that_cannot_be_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Bets(**values)
