"""The alarm: how often it errs, how late it is, one per episode, and going on where it stood."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from thermometer.monitoring.alarm import Bets, CalibrationAlarm, start_weight, unbet


def first_alarms(chance_of, n_streams, n_events, seed, level, bets=None):
    """When each of many streams raises its first alarm; infinite if never. A second way to it."""
    bets = Bets() if bets is None else bets
    rng = np.random.default_rng(seed)
    won = np.zeros((n_streams, len(bets.all)))
    when = np.full(n_streams, np.inf)
    for t in range(1, n_events + 1):
        c = rng.beta(4, 2, n_streams)
        y = rng.random(n_streams) < chance_of(t, c)
        won = (won + start_weight(t) * bets.shares) * bets.factors(c, y)
        now = won.sum(axis=1) + unbet(t) >= 1 / level
        when[now & np.isinf(when)] = t
    return when


@pytest.mark.parametrize("gap", [-0.03, 0.0, 0.03])
def test_stable_streams_seldom_raise_an_alarm(gap):
    """Within 500 streams of 2,000 events; the benchmark has 1,000 of 10,000."""
    when = first_alarms(lambda _, c: np.clip(c - gap, 0, 1), 500, 2000, 1, 0.1)
    assert np.isfinite(when).sum() <= binom.ppf(0.999, 500, 0.1)
    if gap:
        assert np.isfinite(when).any()  # the bound is not empty at the edge of the tolerance


def test_a_change_is_found_and_later_ones_cost_little_more():
    before = {200: 0.0, 2000: 0.0}
    for at in before:
        when = first_alarms(
            lambda t, c, at=at: np.maximum(c - (0.15 if t > at else 0.03), 0),
            100,
            at + 1200,
            2,
            0.01,
        )
        assert (when > at).mean() > 0.98
        before[at] = np.median(when - at)
        assert np.isfinite(when).all()
    assert before[200] < before[2000] < 1.8 * before[200] < 600


def test_errors_that_cancel_are_found_by_bets_on_ranges():
    """Too sure above 0.7, too modest below: the mean gap is 0."""

    def exaggerated(_, c):
        return np.where(c > 0.7, c - 0.2, np.minimum(c + 0.19, 1))

    rng = np.random.default_rng(0)
    c = rng.beta(4, 2, 100_000)
    assert abs((c - exaggerated(0, c)).mean()) < 0.01
    local = first_alarms(exaggerated, 50, 1500, 3, 0.01)
    whole = first_alarms(exaggerated, 50, 1500, 3, 0.01, Bets(edges=()))
    assert np.median(local) < 500
    assert np.median(local) < np.median(whole) / 2


def three_phases(seed):
    """Calibrated, overconfident, calibrated, underconfident; 2,000 answers each."""
    rng = np.random.default_rng(seed)
    c = rng.uniform(0.3, 0.95, 8000)
    chance = c - np.repeat([0.0, 0.25, 0.0, -0.25], 2000)
    return c, rng.random(8000) < chance


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_one_alarm_per_episode_with_onset_and_end(seed):
    alarm = CalibrationAlarm(segment="law")
    opened, ended, other = alarm.update(*three_phases(seed))
    assert opened.verdict == "overconfident"
    assert other.verdict == "underconfident"
    assert (opened.segment, opened.ended, opened.ended_by) == ("law", None, None)
    assert 2000 < opened.raised < 2400
    assert abs(opened.onset - 2001) < 120
    assert (ended.raised, ended.onset) == (opened.raised, opened.onset)
    assert ended.ended_by == "recovery"
    assert 4000 < ended.ended < 4800
    assert abs(other.onset - 6001) < 120
    assert other.raised > 6000
    assert alarm.episode == other
    assert opened.wealth >= 1 / alarm.level == 100


@pytest.mark.parametrize("level", [0.05, 0.001])
def test_it_is_raised_when_the_wealth_first_reaches_one_over_level(level):
    c, y = three_phases(3)
    bets = Bets(tolerance=0.01)
    (raised, *_) = CalibrationAlarm(bets, level).update(c, y)
    won, totals = np.zeros(len(bets.all)), []
    for t, factors in enumerate(bets.factors(c[: raised.raised], y[: raised.raised]), start=1):
        won = (won + start_weight(t) * bets.shares) * factors
        totals.append(won.sum() + unbet(t))
    assert max(totals[:-1]) < 1 / level <= totals[-1] == pytest.approx(raised.wealth)
    assert raised.level == level


def test_an_episode_ends_when_the_bet_on_recovery_has_won_as_much():
    c, y = three_phases(3)
    alarm = CalibrationAlarm(level=0.02)
    opened, ended, *_ = alarm.update(c, y)
    bet = next(b for b in Bets().all if b.where == opened.where and b.verdict == opened.verdict)
    assert bet.where == "all confidences"
    crossed = []
    for size in Bets().sizes:  # of the bet that won
        won = 0.0
        for n, row in enumerate(range(opened.raised, len(c)), start=1):
            won += start_weight(n)
            won *= Bets().recovery(bet._replace(size=size), c[row], y[row])
            if won + unbet(n) >= 50:
                crossed.append(row + 1)
                break
    assert ended.ended in crossed
    assert len(set(crossed)) > 1


def test_an_episode_does_not_end_while_it_lasts():
    """Nor by silence: the mistake goes on for 6,000 answers."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        c = rng.uniform(0.4, 0.95, 6000)
        alarm = CalibrationAlarm()
        changes = alarm.update(c, rng.random(6000) < c - 0.2)
        assert [episode.ended for episode in changes] == [None]


def test_a_restart_ends_the_episode_and_begins_anew():
    c, y = three_phases(0)
    alarm = CalibrationAlarm()
    (opened,) = alarm.update(c[:3000], y[:3000])
    ended = alarm.restart(3000, 7.0)
    assert (ended.ended, ended.ended_time, ended.ended_by) == (3000, 7.0, "refit")
    assert ended.raised == opened.raised
    assert alarm.episode is None
    assert alarm.wealth == 1
    again = alarm.update(c[3000:4000], y[3000:4000])  # what was refitted did not help
    assert again[0].onset > 3000
    assert alarm.restart(4000).ended_by == "refit"
    alarm.update([0.5], [1])
    assert alarm.wealth != 1
    assert alarm.restart(4001) is None
    assert alarm.wealth == 1


@given(st.lists(st.integers(1, 7999), max_size=6), st.integers(0, 2))
@settings(max_examples=12, deadline=None)
def test_split_and_resumed_anywhere_it_says_the_same_to_the_last_bit(cuts, seed):
    c, y = three_phases(seed)
    whole = CalibrationAlarm()
    expected = whole.update(c, y)
    parts, alarm, found = sorted({0, *cuts, 8000}), CalibrationAlarm(), []
    for start, end in pairwise(parts):
        found += alarm.update(c[start:end], y[start:end])
        state, episode = alarm.to_vector(), alarm.episode
        alarm = CalibrationAlarm()
        alarm.load_vector(state, episode)
    assert found == expected
    assert alarm.to_vector().tolist() == whole.to_vector().tolist()
    assert alarm.wealth == whole.wealth


def test_numbers_and_times_are_those_given():
    c, y = three_phases(0)
    numbers = range(101, 8101)
    alarm = CalibrationAlarm()
    opened, *_ = alarm.update(c, y, numbers, [number / 2 for number in numbers])
    assert (opened.onset_time, opened.raised_time) == (opened.onset / 2, opened.raised / 2)
    assert opened.raised > 2101


def test_certainty_that_is_wrong_is_no_infinite_wealth():
    alarm = CalibrationAlarm(level=0.01)
    assert alarm.update([1.0], [0]) == []
    assert 1 < alarm.wealth < np.exp(1.6)
    assert alarm.update([1.0] * 30, [0] * 30)


@pytest.mark.parametrize("level", [0.0, 1.0, float("nan")])
def test_levels_that_cannot_be_are_refused(level):
    with pytest.raises(ValueError, match="level"):
        CalibrationAlarm(level=level)


def test_values_out_of_range_are_refused_and_change_nothing():
    alarm = CalibrationAlarm()
    with pytest.raises(ValueError, match="confidence"):
        alarm.update([0.5, 1.5], [1, 1])
    with pytest.raises(ValueError, match="correct"):
        alarm.update([0.5], [2])
    assert alarm.n == 0
    assert alarm.wealth == 1
