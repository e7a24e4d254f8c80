"""The monitor: labels late, partial, repeated and unknown; windows; refits; going on exactly."""

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule
from sklearn.exceptions import NotFittedError

from thermometer import metrics
from thermometer.monitoring import Monitor, MonitorSettings, ledger
from thermometer.monitoring.alarm import CalibrationAlarm
from thermometer.recalibrators.confidence import (
    HistogramBinning,
    IsotonicCalibration,
    PlattScaling,
    StatedConfidenceCalibration,
)
from thermometer.recalibrators.scores import TemperatureScaling

SMALL = MonitorSettings(window=30, max_pending=12, max_segments=2, level=0.2)


def fill(monitor, c, y, start=0, **columns):
    ids = [f"e{i}" for i in range(start, start + len(c))]
    monitor.record_many(ids, c, **columns)
    return monitor.label_many(ids, y)


def stream(n, drop=0.0, seed=0):
    rng = np.random.default_rng(seed)
    c = rng.uniform(0.4, 0.95, n)
    return c, rng.random(n) < c - drop


class Machine(RuleBasedStateMachine):
    """A monitor in a file, reopened at any time, against lists and an alarm never closed."""

    ids = Bundle("ids")

    @initialize()
    def start(self):
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.monitor = Monitor(f"{self.folder.name}/m.db", SMALL)
        self.alarm = CalibrationAlarm(SMALL.bets, SMALL.overall_level)
        self.waiting, self.answers, self.n, self.forgotten = {}, [], 0, 0

    def teardown(self):
        self.monitor.close()
        self.folder.cleanup()

    @rule(
        target=ids,
        values=st.lists(
            st.tuples(st.floats(0, 1), st.sampled_from([None, "law", "art", "sport"])),
            min_size=1,
            max_size=8,
        ),
    )
    def record(self, values):
        ids = [f"e{self.n + i}" for i in range(len(values))]
        self.n += len(values)
        for name, (c, segment) in zip(ids, values, strict=True):
            self.waiting[name] = (c, segment)
        c, segments = zip(*values, strict=True)
        assert self.monitor.record_many(ids, c, segment=segments).tolist() == list(c)
        while len(self.waiting) > SMALL.max_pending:
            del self.waiting[next(iter(self.waiting))]
            self.forgotten += 1
        return ids[0]

    @rule(name=ids, right=st.booleans())
    def label(self, name, right):
        known = {name: y for name, _, _, y in self.answers[-SMALL.window :]}
        if name in self.waiting:
            c, segment = self.waiting.pop(name)
            self.answers.append((name, c, segment, right))
            receipt = self.monitor.label(name, right)
            assert (receipt.new, receipt.repeated) == (1, 0)
            changes = self.alarm.update([c], [right], [len(self.answers)], [0.0])
            ours = [e for e in receipt.changes if e.segment is None]
            assert [e.raised for e in ours] == [e.raised for e in changes]
        elif name not in known:
            with pytest.raises(ValueError, match="recorded and not forgotten"):
                self.monitor.label(name, right)
            receipt = self.monitor.label_many([name], [right], unknown="skip")
            assert receipt.unknown == (name,)
        elif known[name] == right:
            assert self.monitor.label(name, right).repeated == 1
        else:
            with pytest.raises(ValueError, match="as before"):
                self.monitor.label(name, right)

    @rule(name=ids)
    def record_again(self, name):
        if name not in self.waiting:
            return
        c, segment = self.waiting[name]
        self.monitor.record(name, c, segment=segment)
        with pytest.raises(ValueError, match="same values"):
            self.monitor.record_many(["new", name], [0.5, 1 - c / 2], segment=[None, segment])

    @rule()
    def reopen(self):
        self.monitor.close()
        self.monitor = Monitor(f"{self.folder.name}/m.db")

    @invariant()
    def the_state_is_that_of_the_lists(self):
        state = self.monitor.state(n_resamples=2)
        assert state.n_recorded == self.n
        assert state.n_labelled == len(self.answers)
        assert state.n_pending == len(self.waiting)
        assert state.n_forgotten == self.forgotten
        assert state.overall.wealth == self.alarm.wealth
        window = self.answers[-SMALL.window :]
        assert (state.overall.summary is None) == (not window)
        if window:
            _, c, _, y = zip(*window, strict=True)
            gap = metrics.signed_gap(c, y)  # summarise adds up in another order
            assert state.overall.summary.gap.estimate == pytest.approx(gap, abs=1e-12)
        for one in state.segments:
            mine = [row for row in window if row[2] == one.segment]
            assert (0 if one.summary is None else one.summary.n) == len(mine)
        seen = list(dict.fromkeys(row[2] for row in self.answers if row[2]))
        watched = {one.segment for one in state.segments if one.wealth is not None}
        assert watched == set(seen[:2])


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=12, stateful_step_count=25, deadline=None)


def test_closed_and_opened_it_goes_on_as_if_never_closed(tmp_path):
    c, y = stream(1500)
    c2, y2 = stream(900, drop=0.3, seed=1)
    c, y = np.r_[c, c2], np.r_[y, y2]
    names = [("law", "art")[i % 2] for i in range(len(c))]
    memory, path = Monitor(), tmp_path / "m.db"
    for start in range(0, len(c), 60):
        rows = slice(start, start + 60)
        columns = {"segment": names[rows], "time": np.arange(len(c))[rows] * 1.0}
        expected = fill(
            memory, c[rows], y[rows], start, temperature=(1 + c[rows]).tolist(), **columns
        )
        with Monitor(path) as monitor:
            found = fill(
                monitor, c[rows], y[rows], start, temperature=(1 + c[rows]).tolist(), **columns
            )
        assert found == expected
        if start == 1800:
            fits = [memory.refit()]
            with Monitor(path) as monitor:
                fits.append(monitor.refit())
            assert fits[0].slope_ == fits[1].slope_
    with Monitor(path) as monitor:
        assert monitor.state(n_resamples=20) == memory.state(n_resamples=20)
    assert {episode.segment for episode in memory.alarms} == {None, "law", "art"}


def test_labels_may_be_late_and_partial_and_enter_in_their_own_order():
    c, y = stream(400, drop=0.2)
    monitor, order = Monitor(), np.random.default_rng(0).permutation(400)[:300]
    ids = [f"e{i}" for i in range(400)]
    monitor.record_many(ids, c)
    for i in order:
        monitor.label(ids[i], y[i])
    alarm = CalibrationAlarm(monitor.settings.bets, monitor.settings.overall_level)
    expected = [e.raised for e in alarm.update(c[order], y[order])]
    state = monitor.state()
    assert [e.raised for e in state.episodes] == expected
    assert expected
    assert (state.n_labelled, state.n_pending) == (300, 100)


def test_a_call_that_fails_does_nothing():
    monitor = Monitor()
    monitor.record_many(["a", "b"], [0.5, 0.6], segment=["law", None])
    before = monitor.state()
    for call in (
        lambda: monitor.label_many(["a", "nobody"], [1, 1]),
        lambda: monitor.label_many(["a", "a"], [1, 0]),
        lambda: monitor.label_many(["a"], [0.5]),
        lambda: monitor.record_many(["c", "a"], [0.5, 0.7]),
        lambda: monitor.record_many(["c", "c"], [0.5, 0.7]),
        lambda: monitor.record_many(["c"], [1.5]),
        lambda: monitor.record_many(["c"], [0.5], segment="law"),
        lambda: monitor.record_many(["c"], [0.5], time=[1.0, 2.0]),
        lambda: monitor.record("c", 0.5, temperature=0.0),
        lambda: monitor.refit(),
    ):
        with pytest.raises(ValueError, match="Expected"):
            call()
    for call in (lambda: monitor.record_many("cd", [0.5, 0.5]), lambda: monitor.record(3, 0.5)):
        with pytest.raises(TypeError, match="list of strings"):
            call()
    assert monitor.state() == before
    assert monitor.label_many(["a", "a", "b"], [1, 1, 0]).repeated == 1


def test_the_window_is_the_latest_by_count_and_by_age():
    monitor = Monitor(None, MonitorSettings(window=100, max_age=50.0))
    c, y = stream(300)
    fill(monitor, c, y, time=np.arange(300) * 2.0)
    summary = monitor.state(n_resamples=2).overall.summary
    assert summary.n == 26  # from 548 to 598 seconds
    assert summary.confidence.estimate == pytest.approx(c[-26:].mean())
    monitor.record("late", 0.5, time=620.0)  # an unlabelled one tells the time as well
    assert monitor.state(n_resamples=2).overall.summary.n == 15
    counted = Monitor(None, MonitorSettings(window=100))
    fill(counted, c, y, time=np.arange(300) * 2.0)
    assert counted.state(n_resamples=2).overall.summary.n == 100


def test_segments_beyond_the_limit_are_measured_but_not_watched():
    monitor = Monitor(None, MonitorSettings(max_segments=1))
    c, y = stream(200)
    fill(monitor, c, y, segment=["law"] * 150 + ["art"] * 50)
    found = {one.segment: one for one in monitor.state(n_resamples=2).segments}
    assert found["law"].level == 0.005
    assert found["art"].level is None
    assert found["art"].summary.n == 50
    alone = Monitor(None, MonitorSettings(max_segments=0))
    fill(alone, c, y, segment=["law"] * 200)
    assert alone.state(n_resamples=2).overall.level == 0.01


def test_the_levels_of_all_watches_together_are_no_more_than_stated():
    monitor = Monitor(None, MonitorSettings(level=0.04, max_segments=8))
    given = monitor.settings
    assert given.overall_level + 8 * given.segment_level == pytest.approx(0.04)
    rng = np.random.default_rng(0)
    c = np.r_[rng.uniform(0.3, 0.5, 300), rng.uniform(0.7, 0.9, 300)]
    monitor.record_many([str(i) for i in range(600)], c, temperature=(1 + c).tolist())
    signs = monitor.state().signs
    assert [sign.name for sign in signs] == ["confidence", "temperature"]
    assert sum(sign.level for sign in signs) == pytest.approx(0.04)


def test_only_the_segment_that_is_off_raises_an_alarm():
    c, y = stream(3000)
    names = np.array([("law", "art", "sport", "maths")[i % 4] for i in range(3000)])
    late = (np.arange(3000) >= 1000) & (names == "law")
    y = np.where(late, np.random.default_rng(1).random(3000) < c - 0.3, y)
    monitor = Monitor(None, MonitorSettings(tolerance=0.05))
    receipt = fill(monitor, c, y, segment=names.tolist())
    law = next(e for e in receipt.changes if e.segment == "law")
    assert {e.segment for e in receipt.changes} <= {None, "law"}
    assert law.verdict == "overconfident"
    assert abs(law.onset - 1001) < 120
    first = monitor.state().segments[0]
    assert (first.segment, first.episode) == ("law", law)


def test_a_refit_ends_the_episode_and_mends_what_comes():
    monitor = Monitor()
    c, y = stream(1000, drop=0.25)
    (raised,) = fill(monitor, c, y).changes
    fitted = monitor.refit(since=raised.onset)
    rows = slice(raised.onset - 1, 1000)
    expected = PlattScaling().fit(c[rows], y[rows])
    assert (fitted.slope_, fitted.intercept_) == (expected.slope_, expected.intercept_)
    (episode,) = monitor.alarms
    assert (episode.ended, episode.ended_by) == (1000, "refit")
    c2, y2 = stream(1500, drop=0.25, seed=5)
    shown = monitor.record_many([f"n{i}" for i in range(1500)], c2)
    assert shown == pytest.approx(expected.recalibrate(c2))
    assert shown.tolist() == monitor.apply(c2).tolist()
    assert monitor.record("n0", c2[0]) == shown[0]
    assert monitor.label_many([f"n{i}" for i in range(1500)], y2).changes == ()
    state = monitor.state()
    assert abs(state.points[-1].gap.estimate) < 0.1
    assert [(r.number, r.n, r.recalibrator) for r in state.refits] == [
        (1000, 1001 - raised.onset, "PlattScaling")
    ]


def test_a_second_refit_reads_what_was_recorded_and_not_what_was_made_of_it():
    monitor = Monitor()
    for seed, start in ((0, 0), (5, 300)):
        c, y = stream(300, drop=0.25, seed=seed)
        fill(monitor, c, y, start)
        fitted = monitor.refit(since=start + 1)
        assert fitted.slope_ == PlattScaling().fit(c, y).slope_
    assert monitor.apply([0.9])[0] == fitted.recalibrate([0.9])[0]


def test_labels_of_predictions_before_a_refit_are_tested_on_what_it_makes_of_them():
    monitor = Monitor()
    c, y = stream(600, drop=0.25)
    monitor.record_many([f"e{i}" for i in range(600)], c)
    monitor.label_many([f"e{i}" for i in range(300)], y[:300])
    fitted = monitor.refit()
    monitor.label_many([f"e{i}" for i in range(300, 600)], y[300:])
    alarm = CalibrationAlarm(monitor.settings.bets, monitor.settings.overall_level)
    alarm.update(fitted.recalibrate(c[300:]), y[300:])
    assert monitor.state(n_resamples=2).overall.wealth == alarm.wealth


def test_another_process_sees_a_refit(tmp_path):
    first, second = Monitor(tmp_path / "m.db"), Monitor(tmp_path / "m.db")
    c, y = stream(200, drop=0.3)
    fill(first, c, y)
    assert second.record("x", 0.9) == 0.9
    fitted = second.refit()
    assert first.record("y", 0.9) == fitted.recalibrate([0.9])[0] != 0.9
    first.close()
    second.close()


@pytest.mark.parametrize(
    "kind", [PlattScaling, IsotonicCalibration, HistogramBinning, StatedConfidenceCalibration]
)
def test_every_recalibrator_of_confidence_can_be_kept(kind):
    c, y = stream(300)
    fitted = kind().fit(c.round(1), y)
    again = ledger.from_json(ledger.to_json(fitted))
    assert again.recalibrate(c).tolist() == fitted.recalibrate(c).tolist()
    mine = kind()
    monitor = Monitor()
    fill(monitor, c.round(1), y)
    assert monitor.refit(mine).recalibrate(c).tolist() == fitted.recalibrate(c).tolist()
    with pytest.raises(NotFittedError):
        mine.recalibrate(c)  # what was given is left as it was


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"class": "os.system"}', "os.system"),
        ("[]", "None"),
        ('{"class": "PlattScaling", "parameters": {}, "fitted": {}}', "parameters"),
        ('{"class": "PlattScaling", "parameters": {"epsilon": 0.1}, "fitted": {"a": 1}}', "fitted"),
    ],
)
def test_a_text_that_is_no_recalibrator_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        ledger.from_json(text)
    with pytest.raises(ValueError, match="TemperatureScaling"):
        ledger.to_json(TemperatureScaling())


def test_drifting_temperatures_and_confidences_are_early_signs_without_a_label():
    rng = np.random.default_rng(0)
    monitor = Monitor()
    temperature = rng.normal(1.5, 0.1, 1500) + 0.2 * (np.arange(1500) >= 1000)
    monitor.record_many([str(i) for i in range(1500)], np.full(1500, 0.8), temperature=temperature)
    (sign,) = monitor.state().signs
    assert (sign.name, sign.direction) == ("temperature", "higher")
    assert abs(sign.onset - 1001) < 40
    assert monitor.state().overall.summary is None
    monitor.record_many([f"n{i}" for i in range(300)], np.full(300, 0.6))
    assert [s.name for s in monitor.state().signs] == ["temperature", "confidence"]


def test_memory_and_rows_do_not_grow():
    monitor = Monitor(None, MonitorSettings(window=100, max_pending=700))
    sizes = []
    for start in range(0, 12_000, 1000):
        c, y = stream(1000, seed=start)
        ids = [f"e{start + i}" for i in range(1000)]
        monitor.record_many(ids[:800], c[:800])
        monitor.label_many(ids[:600], y[:600], unknown="skip")
        sizes.append(monitor._store.execute("PRAGMA page_count")[0][0])
    (answers,) = monitor._store.execute("SELECT count(*) FROM answers")[0]
    (pending,) = monitor._store.execute("SELECT count(*) FROM predictions")[0]
    assert max(sizes[4:]) <= 1.3 * sizes[3]
    state = monitor.state(n_resamples=2)
    assert (answers, pending) == (100, state.n_pending)
    assert pending <= 700
    assert state.n_forgotten > 0
    assert state.n_recorded == state.n_labelled + state.n_pending + state.n_forgotten == 9600
