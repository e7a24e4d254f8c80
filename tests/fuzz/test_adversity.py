"""Disks that fill up, folders that cannot be written, two runs at once, clocks that go back."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import targets

import thermometer as th
from thermometer.monitoring import Monitor

HERE = Path(__file__).resolve().parent


def run(what, folder, *sizes):
    command = [sys.executable, str(HERE / "adversity.py"), what, str(folder), *map(str, sizes)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def checkpoint(tmp_path):
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    targets.make_checkpoint(folder)
    return folder


def test_a_full_disk_leaves_the_old_checkpoint(checkpoint, tmp_path):
    before = contents(tmp_path)
    failed = run("save_checkpoint", tmp_path, 20_000)
    assert "OSError" in failed.stderr
    assert contents(tmp_path) == before
    assert run("save_checkpoint", tmp_path, 10_000_000).returncode == 0
    assert contents(tmp_path) != before


@pytest.mark.slow
def test_a_full_disk_stops_an_extraction_which_then_goes_on(tmp_path):
    done = run("extract", tmp_path, 6_000, 10_000_000)
    assert done.returncode == 0, done.stderr
    error, left = re.search(r"^(OSError: .*)\n(left .*)$", done.stderr, re.MULTILINE).groups()
    assert "part-" in error or "plan" in error
    assert "manifest.json" not in left
    assert len(th.OutputTable.open(tmp_path / "table")) == 40
    assert not list((tmp_path / "table").glob(".*"))


def test_a_full_disk_loses_no_acknowledged_prediction(tmp_path):
    with Monitor(tmp_path / "monitor.db") as monitor:
        monitor.record("old", 0.9)
    failed = run("monitor", tmp_path, 400_000)
    assert "monitor.db" in failed.stderr
    with Monitor(tmp_path / "monitor.db") as monitor:
        monitor.label("old", True)
        monitor.label("new 0", True)
        state = monitor.state(n_resamples=2)
    assert 2 < state.n_recorded < 10_000
    assert state.n_labelled == 2


@pytest.mark.slow
def test_two_extractions_into_one_folder_give_one_table(tmp_path):
    command = [sys.executable, str(HERE / "adversity.py"), "extract", str(tmp_path), "10000000"]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    table = th.OutputTable.open(tmp_path / "table")
    (tmp_path / "alone").mkdir()
    assert run("extract", tmp_path / "alone", 10_000_000).returncode == 0
    alone = th.OutputTable.open(tmp_path / "alone" / "table")
    assert table.ids == alone.ids
    np.testing.assert_array_equal(table.scores, alone.scores)
    np.testing.assert_array_equal(table.features, alone.features)


@pytest.mark.parametrize("place", ["/proc/thermometer", "/dev/null/thermometer"])
def test_a_folder_that_cannot_be_made_is_named(place, checkpoint):
    calibrator = th.Calibrator.from_pretrained(checkpoint)
    measured = th.measure([0.5, 0.9], [0, 1], n_resamples=2)
    for write in (calibrator.save_pretrained, measured.write):
        with pytest.raises(OSError, match=place.split("/")[1]):
            write(place)
    with pytest.raises(OSError, match=place.split("/")[1]):
        Monitor(f"{place}/monitor.db")


def test_a_clock_that_goes_back_disturbs_no_monitor():
    rng = np.random.default_rng(0)
    confidence = rng.random(400)
    correct = rng.random(400) < confidence
    times = 1e9 - 1000.0 * np.arange(400)
    ids = [f"a{i}" for i in range(400)]
    with Monitor() as forward, Monitor() as backward:
        forward.record_many(ids, confidence, time=times[::-1])
        backward.record_many(ids, confidence, time=times)
        for monitor in (forward, backward):
            monitor.label_many(ids, correct)
        a, b = (m.state(n_resamples=2) for m in (forward, backward))
    assert a.overall.wealth == b.overall.wealth
    assert a.overall.summary == b.overall.summary
    assert [p.n for p in a.points] == [p.n for p in b.points]
