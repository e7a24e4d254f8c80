"""The file of a monitor: killed writers, several writers, threads, and files that are none."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import traceback
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
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


@pytest.mark.parametrize(
    "command",
    [
        "CREATE TRIGGER t AFTER INSERT ON predictions "
        "BEGIN UPDATE predictions SET confidence = 0.01; END",
        "CREATE VIEW v AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) "
        "SELECT i FROM n",
        "CREATE TABLE notes (text TEXT)",
        "CREATE INDEX i ON answers (abs(confidence))",
        "ALTER TABLE predictions ADD COLUMN g REAL GENERATED ALWAYS AS (confidence / 2)",
        "DROP TABLE blocks",
    ],
)
def test_a_file_with_other_tables_than_a_monitors_is_refused(tmp_path, command):
    """What a stranger put into the file must not run, nor change what is stored."""
    file = tmp_path / "m.db"
    Monitor(file).close()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(command)
        connection.commit()
    with pytest.raises(ValueError, match=r"m\.db: not the tables of a monitor \("):
        Monitor(file)


@pytest.mark.parametrize(
    "change",
    [
        "confidence = 'high'",
        "confidence = 1.5",
        "time = 9e999",
        "segment = x'00'",
        "temperature = -1.0",
    ],
)
def test_values_that_a_monitor_never_writes_are_damage(tmp_path, change):
    file = tmp_path / "m.db"
    with closing(Monitor(file)) as monitor:
        monitor.record("a", 0.5)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"UPDATE predictions SET {change}")
        connection.commit()
    with closing(Monitor(file)) as monitor, pytest.raises(ValueError, match="damaged"):
        monitor.label("a", True)


@pytest.mark.parametrize("factor", [1e3, 1e6, 1e9])
def test_times_that_are_not_seconds_are_refused(factor):
    monitor = Monitor()
    with pytest.raises(ValueError, match="`time` to be Unix time in seconds"):
        monitor.record("a", 0.5, time=time.time() * factor)
    monitor.record("a", 0.5, time=time.time() + 3600)  # a clock that is ahead


def test_a_clock_that_is_ahead_does_not_empty_the_window():
    now, settings = time.time(), MonitorSettings(max_age=3600.0)
    monitor, ids = Monitor(settings=settings), [f"a{i}" for i in range(100)]
    monitor.record_many(ids, np.full(100, 0.5), time=np.full(100, now - 60))
    monitor.label_many(ids, np.arange(100) % 2)
    monitor.record("ahead", 0.5, time=now + 80_000)
    assert monitor.state(n_resamples=10).overall.summary.n == 100


def test_the_same_number_in_single_and_double_precision_is_no_conflict():
    monitor = Monitor()
    monitor.record("a", np.float32(0.9), temperature=np.float32(1.3))
    assert monitor.record("a", 0.9, temperature=1.3) == pytest.approx(0.9, rel=1e-7)
    assert monitor.record("b", 0.0) == monitor.record("b", np.float32(0.0)) == 0.0
    with pytest.raises(ValueError, match="recorded with the same values"):
        monitor.record("a", 0.9001, temperature=1.3)
    with pytest.raises(ValueError, match="recorded with the same values"):
        monitor.record("b", 0.0, temperature=1.3)


def forked(function, nobody=False):
    """Whether a function ends well in a forked process; `nobody` may write only what all may."""
    process = os.fork()
    if process == 0:
        try:
            if nobody and os.getuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            function()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return os.waitpid(process, 0)[1] == 0


def test_a_monitor_on_a_disk_that_is_read_only_can_be_read():
    with TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "m.db"
        with closing(Monitor(file)) as monitor:
            monitor.record("a", 0.5)
            monitor.label("a", True)
        file.chmod(0o444)
        folder.chmod(0o555)

        def look():
            with closing(Monitor(file)) as monitor:
                assert monitor.state(n_resamples=10).overall.summary.n == 1
                with pytest.raises(OSError, match=r"m\.db: .*readonly"):
                    monitor.record("b", 0.5)

        try:
            assert forked(look, nobody=True)
        finally:
            folder.chmod(0o755)


def test_a_forked_process_writes_the_same_file(tmp_path):
    monitor, memory = Monitor(tmp_path / "m.db"), Monitor()
    monitor.record("parent", 0.5)
    with monitor._store.lock:  # as if another thread were at work at that moment

        def work():
            monitor.record("child", 0.5)
            monitor.label("parent", True)
            with pytest.raises(RuntimeError, match="in memory"):
                memory.record("a", 0.5)

        assert forked(work)
    assert monitor.label("child", False).new == 1
    assert monitor.label("parent", True).repeated == 1
