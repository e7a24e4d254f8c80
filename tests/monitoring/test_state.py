"""What a monitor shows: sentences, tables, picture, page, terminal and the `monitor` command."""

import io
import json
import re

import numpy as np
import pytest
from rich.console import Console

from thermometer import cli
from thermometer.monitoring import Monitor
from thermometer.monitoring.state import draw_monitor
from thermometer.reports.blocks import Table, Terms, signed

HOSTILE = "<script>alert(1)</script> $x$ [red]"


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Calibrated, then law is overconfident; a refit; then law is right again, hence modest."""
    path = tmp_path_factory.mktemp("monitor") / "m.db"
    rng = np.random.default_rng(0)
    c, n = rng.uniform(0.4, 0.95, 4500), 4500
    names = np.array([("law", HOSTILE)[i % 2] for i in range(n)])
    off = (np.arange(n) >= 1500) & (np.arange(n) < 3000) & (names == "law")
    y = rng.random(n) < c - 0.35 * off
    with Monitor(path) as monitor:
        for start in range(0, n, 500):
            rows = slice(start, start + 500)
            ids = [str(i) for i in range(n)][rows]
            temperature = (1.5 + 0.1 * rng.normal(size=500) + 0.3 * (start >= 2000)).tolist()
            times = 1.78e9 + 60.0 * np.arange(n)[rows]
            monitor.record_many(
                ids, c[rows], segment=names[rows].tolist(), time=times, temperature=temperature
            )
            monitor.label_many(ids, y[rows])
            if start == 2000:
                monitor.refit(since=1501)
    return path


@pytest.fixture(scope="module")
def state(file):
    with Monitor(file) as monitor:
        return monitor.state(n_resamples=20)


def sentences(state):
    return state.document().page[0].sentences


def tables(state):
    return [block for block in state.document().page if isinstance(block, Table)]


def printed(state, width=80):
    text = io.StringIO()
    state.print(Console(file=text, width=width, color_system=None))
    return text.getvalue()


def test_the_sentences_say_what_is_open_and_what_was_done(state):
    first, numbers, sign, refit = sentences(state)
    opened = state.open_episodes
    assert first.startswith(f"{len(opened)} alarms are open: underconfident")
    overall = next(e for e in opened if e.segment is None)
    assert f"since answer {overall.onset:,} or so, raised at {overall.raised:,}" in first
    gap = state.overall.summary.gap
    assert signed(gap.estimate) in numbers
    assert "temperature higher than before" in sign
    assert "no proof" in sign
    assert refit == "Recalibrated once, last after answer 2,500 on 1,000 answers."


def test_without_labels_it_says_nothing():
    monitor = Monitor()
    assert sentences(monitor.state())[0].startswith("No label so far")
    assert "No label so far" in printed(monitor.state())
    monitor.record("a", 0.7)
    monitor.label("a", False)
    assert sentences(monitor.state())[0] == "No alarm is open after 1 labelled answers."
    with pytest.raises(ValueError, match="at least one labelled answer"):
        draw_monitor(Monitor().state())


def test_the_tables_hold_the_numbers_of_the_state(state):
    window, episodes, signs, refits = tables(state)
    assert [row[0].text for row in window.rows] == [
        "all",
        *(one.segment for one in state.segments),
    ]
    row = dict(zip(window.header, window.rows[0], strict=True))
    summary = state.overall.summary
    assert row["n"].text == f"{summary.n:,}"
    assert row["ECE"].text == f"{summary.ece.estimate:.3f}"
    assert row["smooth ECE"].text == f"{summary.smooth_ece.estimate:.3f}"
    assert row["floor"].text == f"{summary.floor:.3f}"
    assert (row["to alarm"].text, row["alarm"].text) == ("100 %", "underconfident")
    assert len(episodes.rows) == len(state.episodes)
    assert [row[-1].text for row in episodes.rows][-1] == "refit"
    assert episodes.rows[-1][3].detail.startswith("2026-")
    assert len(signs.rows) == len(state.signs) >= 1
    assert refits.rows[0][1].text == "2,500"


def test_the_terminal_has_80_columns(state):
    text = printed(state)
    assert max(map(len, text.splitlines())) <= 80
    for words in ("gap over time", "Alarms, latest first", "underconfident", "all answers"):
        assert words in text
    last = state.points[-1]
    assert f"{last.first:,} to {last.last:,}" in text
    assert f"{last.gap.estimate:.3f}" in text


def test_the_page_opens_alone_and_escapes_names(state, tmp_path):
    file = state.write(tmp_path / "new" / "page.html", title=HOSTILE)
    text = file.read_text(encoding="utf-8")
    assert "<script" not in text
    assert text.count("&lt;script&gt;") >= 3
    assert not re.search(r"(src|href)=\"(?!data:)", text)
    assert text.count("data:image/png;base64,") == 1
    notes = next(block for block in state.document().page if isinstance(block, Terms))
    for note in notes.items:
        assert f"<dt>{note}</dt>" in text
    assert "chance of ever raising a first false alarm: 0.01" in text
    Monitor().state().write(tmp_path / "empty.html")
    assert "No label so far" in (tmp_path / "empty.html").read_text()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_picture_shows_points_refits_and_episodes(state, theme):
    figure = draw_monitor(state, title=HOSTILE, theme=theme)
    gap, ece, strip = figure.axes
    drawn = next(line for line in gap.lines if len(line.get_xdata()) == len(state.points))
    assert drawn.get_ydata().tolist() == [p.gap.estimate for p in state.points]
    assert ece.lines[-2].get_ydata().tolist() == [p.ece for p in state.points]
    assert ece.lines[-1].get_ydata().tolist() == [p.floor for p in state.points]
    for axis in figure.axes:
        upright = [line for line in axis.lines if list(line.get_xdata()) == [2500, 2500]]
        assert len(upright) == 1
    assert len(strip.collections) == 2 * len(state.episodes)
    labels = [tick.get_text() for tick in strip.get_yticklabels()]
    assert labels[:2] == ["all", "law"]
    figure.canvas.draw()
    with pytest.raises(ValueError, match="theme"):
        draw_monitor(state, theme="green")


def test_the_state_is_json(state):
    fields = json.loads(json.dumps(state.to_dict(), allow_nan=False))
    assert fields["n_labelled"] == 4500
    assert fields["overall"]["summary"]["gap"]["estimate"] == state.overall.summary.gap.estimate
    assert fields["episodes"][0]["verdict"] == "overconfident"


def test_the_command_prints_and_writes(file, state, tmp_path, capsys):
    before = file.read_bytes()
    page = tmp_path / "page.html"
    cli.main(["monitor", str(file), "--out", str(page), "--n_resamples", "20"])
    text = capsys.readouterr().out
    assert " ".join(sentences(state)[0].split()) in " ".join(text.split())
    assert str(page) in text.replace("\n", "")
    assert "<h1>m.db</h1>" in page.read_text()
    assert file.read_bytes() == before
    cli.main(["monitor", str(file), "--out", str(page), "--title", "Mine"])
    assert "<h1>Mine</h1>" in page.read_text()


def test_the_command_names_mistakes_in_one_line(tmp_path):
    other = tmp_path / "other.db"
    other.write_text("no database, but long enough to look like the header of one" * 20)
    for arguments, message in (
        ([tmp_path / "nowhere.db"], "no such file"),
        ([other], "no database"),
        ([tmp_path], f"{tmp_path} is a folder; name the file of a monitor"),
        ([other, "--out", tmp_path], f"{tmp_path} is a folder; name a file in it"),
    ):
        with pytest.raises(SystemExit) as ended:
            cli.main(["monitor", *map(str, arguments)])
        assert message in ended.value.code
        assert "\n" not in ended.value.code
    assert not (tmp_path / "nowhere.db").exists()
