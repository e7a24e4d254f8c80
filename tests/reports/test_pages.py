"""Every report in the terminal and as Markdown, against pages that were once read by a person.

``python tests/reports/test_pages.py`` writes the pages anew; read the difference before keeping it.
"""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from synthetic import make_fit, make_table

from thermometer.evaluation import cross_validate, evaluate
from thermometer.metrics.intervals import Interval
from thermometer.monitoring import Monitor
from thermometer.protocols import Protocol
from thermometer.recalibrators.recommend import recommend
from thermometer.reports import render
from thermometer.reports.blocks import (
    Cell,
    Document,
    Heading,
    Picture,
    Table,
    Terms,
    Text,
    Verdict,
    number,
)
from thermometer.reports.confidence_report import measure
from thermometer.segments.report import segments

GOLDEN = Path(__file__).parents[1] / "golden"
NASTY = 'a<b> & "q" | [red]x[/red] *y* `z`'
MADE = {"created": "2026-01-01T00:00:00+00:00", "versions": {"thermometer": "0.1.0"}}


def evaluated():
    table = make_table(n=20, temperatures={NASTY: 0.5, "art": 1.0, "law": 3.0, "maths": 6.0})
    protocol = Protocol(leave_one_out=True)
    return cross_validate(table, make_fit(), protocol, n_resamples=50, progress=False)


def seen():
    """A thermometer that makes it worse, tested on what it was trained on."""
    table = make_table(n=20, temperatures={"art": 0.5, "law": 3.0})
    return evaluate(table, make_fit(-1.0)(table), allow_seen=True, n_resamples=20)


def answers():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 400)
    correct = (rng.random(400) < confidence - 0.15).astype(int)
    return confidence, correct, {"topic": rng.choice([NASTY, "art", "go"], 400)}


def measured():
    confidence, correct, by = answers()
    series = {"before": confidence, "after": (confidence + 0.5) / 2}
    return measure(series, correct, by=by, title=NASTY, n_resamples=100)


def monitored():
    """Law is overconfident for a while; a refit; then law is right again, hence modest."""
    rng, n = np.random.default_rng(0), 4500
    confidence = rng.uniform(0.4, 0.95, n)
    names = np.array([("law", NASTY)[i % 2] for i in range(n)])
    off = (np.arange(n) >= 1500) & (np.arange(n) < 3000) & (names == "law")
    correct = rng.random(n) < confidence - 0.35 * off
    with Monitor() as monitor:
        for start in range(0, n, 500):
            rows, ids = slice(start, start + 500), [str(start + i) for i in range(500)]
            monitor.record_many(
                ids,
                confidence[rows],
                segment=names[rows].tolist(),
                time=1.78e9 + 60.0 * np.arange(n)[rows],
                temperature=1.5 + 0.1 * rng.normal(size=500) + 0.3 * (start >= 2000),
            )
            monitor.label_many(ids, correct[rows])
            if start == 2000:
                monitor.refit(since=1501)
        return monitor.state(n_resamples=20)


@cache
def pages():
    """Documents by name."""
    confidence, correct, by = answers()
    return {
        "report": replace(evaluated(), **MADE).document(),
        "seen": replace(seen(), **MADE).document(),
        "confidence": replace(measured(), **MADE).document(),
        "one_series": replace(
            measure(*answers()[:2], n_resamples=20, advise=False), **MADE
        ).document(),
        "segments": segments(confidence, correct, by, n_resamples=50).document(),
        "recommendation": recommend(
            confidence=confidence, correct=correct, n_resamples=100
        ).document(),
        "monitor": monitored().document(),
        "no_labels": Monitor().state().document(),
    }


NAMES = (
    "report",
    "seen",
    "confidence",
    "one_series",
    "segments",
    "recommendation",
    "monitor",
    "no_labels",
)


@pytest.mark.parametrize("name", NAMES)
def test_markdown_is_as_it_was(name):
    expected = (GOLDEN / f"{name}.md").read_text(encoding="utf-8")
    assert render.to_markdown(pages()[name]) == expected


@pytest.mark.parametrize("name", NAMES)
def test_the_terminal_is_as_it_was(name):
    text = render.to_text(pages()[name]) + "\n"
    assert text == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")
    assert max(map(len, text.splitlines())) <= 80


def test_html_has_every_block_of_the_page():
    document = Document(
        NASTY,
        "now",
        page=(
            Heading(NASTY),
            Text(NASTY),
            Terms({NASTY: NASTY}),
            Verdict([NASTY], [(NASTY, Cell(NASTY))], alarming=True),
            Table(NASTY, ("", NASTY), [(Cell("name"), Cell("1", NASTY, "worse"))], NASTY),
            Picture(NASTY, text=lambda **_: NASTY),
        ),
    )
    text = render.to_html(document)
    escaped = "a&lt;b&gt; &amp; &quot;q&quot; | [red]x[/red] *y* `z`"
    assert text.count(escaped) == 13
    assert NASTY not in text
    assert f'<td class="worse">1<small>{escaped}</small></td>' in text
    assert '<th scope="row">name</th>' in text
    assert f'<th scope="col">{escaped}</th>' in text
    assert '<div class="verdict alarming">' in text
    assert "<img" not in text  # that picture is for terminals only
    assert not document.images()


def test_a_short_table_says_what_it_left_out():
    rows = [(Cell(name), number(Interval(1.0, 0.5, 1.5)), Cell("2")) for name in "abcd"]
    table = Table("t", ("", "n", "m"), rows, "note")
    short = table.short("m", plain=["n"], limit=3)
    assert short.rows == tuple((Cell(name), Cell("1.000")) for name in "abc")
    assert short.note == "… and 1 more"
    assert table.short(note="other").rows == tuple(rows)
    assert table.short(note="other").note == "other"


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for key, page in pages().items():
        (GOLDEN / f"{key}.md").write_text(render.to_markdown(page), encoding="utf-8")
        (GOLDEN / f"{key}.txt").write_text(render.to_text(page) + "\n", encoding="utf-8")
