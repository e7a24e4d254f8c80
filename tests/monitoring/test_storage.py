"""The file of a monitor: killed writers, several writers, threads, and files that are none."""

import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from thermometer.monitoring import Monitor, MonitorSettings
from thermometer.monitoring.alarm import CalibrationAlarm
from thermometer.monitoring.ledger import SCHEMA

WRITER = Path(__file__).parents[1] / "monitor_writer.py"


def writer(path, name, *n):
    process = subprocess.Popen(
        [sys.executable, WRITER, path, name, *map(str, n)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


def go(process):
    process.stdin.write("\n")
    process.stdin.flush()


def sound(path):
    """SQLite's own check of the file, and the way it is kept."""
    with sqlite3.connect(path) as connection:
        (found,) = connection.execute("PRAGMA integrity_check").fetchone()
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    connection.close()
    return found == "ok" and mode == "wal"


def test_every_commit_is_synchronised(tmp_path):
    """Which no kill can show: the system keeps what a killed process has written."""
    with Monitor(tmp_path / "monitor.db") as monitor:
        assert monitor._store.execute("PRAGMA synchronous") == [(2,)]
    assert sound(tmp_path / "monitor.db")


@pytest.mark.parametrize("seconds", [0.03, 0.15, 0.4])
def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path, seconds):
    path = tmp_path / "monitor.db"
    with writer(path, "a") as process:
        go(process)
        said = [process.stdout.readline() for _ in range(3)]  # it has begun
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        said += process.stdout.read().splitlines(keepends=True)
        process.stdin.close()
    assert process.returncode == -signal.SIGKILL
    done = [line.split() for line in said if line.endswith("\n")]
    recorded = [name for word, name in done if word == "recorded"]
    labelled = [name for word, name in done if word == "labelled"]
    assert labelled
    with Monitor(path) as monitor:
        state = monitor.state(n_resamples=2)
        assert len(recorded) <= state.n_recorded <= len(recorded) + 1
        assert len(labelled) <= state.n_labelled <= len(labelled) + 1
        outcomes = [int(name.split("-")[1]) % 5 != 0 for name in labelled]
        receipt = monitor.label_many(labelled, outcomes)
        assert (receipt.new, receipt.repeated) == (0, len(labelled))
        for name in recorded[len(labelled) :]:
            right = int(name.split("-")[1]) % 5 != 0  # its label may be there, unacknowledged
            assert not monitor.label_many([name], [right], unknown="skip").unknown
        monitor.record("b", 0.5)
    assert sound(path)


def test_four_writers_at_once(tmp_path):
    """On a file that none of them finds; afterwards the alarm is that of all labels in order."""
    path, n = tmp_path / "monitor.db", 30
    processes = [writer(path, name, n) for name in "abcd"]
    for process in processes:
        go(process)
    for process in processes:
        with process:
            said = process.communicate()[0].splitlines()
        assert process.returncode == 0
        assert len(said) == 2 * n
    with Monitor(path) as monitor:
        state = monitor.state(n_resamples=2)
        assert (state.n_recorded, state.n_labelled, state.n_pending) == (4 * n, 4 * n, 0)
        assert {one.segment: one.summary.n for one in state.segments} == dict.fromkeys("abcd", n)
        alarm = CalibrationAlarm(monitor.settings.bets, monitor.settings.overall_level)
    with sqlite3.connect(path) as connection:
        rows = connection.execute(
            "SELECT number, claimed, correct, time FROM answers ORDER BY number"
        ).fetchall()
    connection.close()
    numbers, claimed, correct, times = zip(*rows, strict=True)
    assert list(numbers) == list(range(1, 4 * n + 1))
    alarm.update(claimed, correct, numbers, times)
    assert state.overall.wealth == alarm.wealth
    assert sum(point.n for point in state.points) == 4 * n
    assert sound(path)


def test_threads_may_share_a_monitor(tmp_path):
    with Monitor(tmp_path / "monitor.db") as monitor:

        def work(name):
            for number in range(50):
                monitor.record(f"{name}{number}", 0.9)
                monitor.label(f"{name}{number}", True)

        threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        state = monitor.state(n_resamples=2)
    assert (state.n_recorded, state.n_labelled) == (200, 200)
    expected = CalibrationAlarm(monitor.settings.bets, monitor.settings.overall_level)
    expected.update([0.9] * 200, [1] * 200)
    assert state.overall.wealth == expected.wealth


def test_what_could_not_be_written_is_forgotten(tmp_path):
    """A table is gone for a moment, so that the call fails after the alarm has moved."""
    path = tmp_path / "monitor.db"
    with Monitor(path) as monitor:
        monitor.record_many(["a", "b"], [0.9, 0.9])
        monitor.label("a", False)
        rename = "ALTER TABLE watches RENAME TO {}"
        with sqlite3.connect(path) as connection:
            connection.execute(rename.format("gone"))
        with pytest.raises(ValueError, match=r"monitor\.db.*watches"):
            monitor.label("b", False)
        with sqlite3.connect(path) as connection:
            connection.execute("ALTER TABLE gone RENAME TO watches")
        connection.close()
        assert monitor.state(n_resamples=2).n_labelled == 1
        assert monitor.label("b", False).new == 1
        expected = CalibrationAlarm(monitor.settings.bets, monitor.settings.overall_level)
        expected.update([0.9, 0.9], [0, 0])
        assert monitor.state(n_resamples=2).overall.wealth == expected.wealth


def test_a_newer_schema_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "monitor.db"
    Monitor(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"schema {SCHEMA + 1}.*reads up to {SCHEMA}; upgrade"):
        Monitor(path)
    assert path.read_bytes() == before


def test_other_files_are_refused_and_left_alone(tmp_path):
    text, other = tmp_path / "text.db", tmp_path / "other.db"
    text.write_text("no database, but long enough to be looked at as the header of one " * 20)
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()
    for path, message in ((text, "no database"), (other, "something else than a monitor")):
        before = path.read_bytes()
        with pytest.raises(ValueError, match=message):
            Monitor(path)
        assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["monitor.db", None])
def test_a_closed_monitor_is_not_called_damaged(tmp_path, name):
    monitor = Monitor(name and tmp_path / name)
    monitor.close()
    with pytest.raises(ValueError, match=r"^(?!.*damaged).*monitor.*closed database"):
        monitor.record("r1", 0.5)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Monitor(tmp_path / "nowhere" / "monitor.db")


def test_settings_are_those_of_the_file(tmp_path):
    path, mine = tmp_path / "monitor.db", MonitorSettings(window=70, edges=(0.25,))
    Monitor(path, mine).close()
    with Monitor(path) as monitor:
        assert monitor.settings == mine
    Monitor(path, mine).close()
    with pytest.raises(ValueError, match=r"settings.*window=70.*window=80"):
        Monitor(path, MonitorSettings(window=80))


def test_a_damaged_state_is_an_error_and_not_a_wrong_alarm(tmp_path):
    path = tmp_path / "monitor.db"
    with Monitor(path) as monitor:
        monitor.record("a", 0.5)
        monitor.label("a", True)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE watches SET numbers = zeroblob(80) WHERE kind = 'alarm'")
    connection.close()
    with Monitor(path) as monitor, pytest.raises(ValueError, match="state"):
        monitor.state()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"level": 0.0}, "level"),
        ({"window": 0}, "window"),
        ({"max_age": 0.0}, "max_age"),
        ({"max_segments": -1}, "max_segments"),
        ({"edges": (0.9, 0.5)}, "edges"),
    ],
)
def test_settings_that_cannot_be_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        MonitorSettings(**values)
    with pytest.raises(ValueError, match="settings"):
        MonitorSettings.from_json('{"level": 0.1}')
