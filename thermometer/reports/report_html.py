"""A report as one HTML file that opens alone: no network, no scripts, pictures inside.

It shows what `report_tables` says, in the reader's light or dark colours.
"""

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

from thermometer.reports import grid_html, report_tables, report_words
from thermometer.segmentation import segment_tables

if TYPE_CHECKING:
    from thermometer.reports.report import Report


def html(report: "Report", pictures: Mapping[str, bytes]) -> str:
    """The whole file.

    Args:
        report: The numbers; every text in it is escaped.
        pictures: `reliability.png` and `temperatures.png`, as `report.pictures` gives them.
    """
    title = "Calibration" if report.seen else "Calibration on unseen tasks"
    scopes = tuple(report_tables.SCOPES)
    body = [
        f"<h1>{title}</h1>",
        f'<p class="when">{len(report.tasks)} tasks, {report.n_rows:,} questions · '
        f"{escape(report.created)}</p>",
        grid_html.verdict(report_words.verdict(report)),
        _cards(report),
        grid_html.figure(
            pictures["reliability.png"],
            "Reliability of all questions thrown together, in 10 bins. The area of a point follows "
            "the number of questions, its bar is a 95 % interval, the shade is the gap.",
        ),
        *(grid_html.table(report_tables.results(report, scope)) for scope in scopes),
        grid_html.notes(report_tables.notes(report)),
        *(grid_html.table(report_tables.differences(report, scope)) for scope in scopes),
        "<p class=aside>Below zero the first of the two is better; coloured where the whole "
        "interval lies on one side of zero.</p>",
        "<h2>Temperatures</h2>",
        f"<p>{escape(report_words.temperature_note(report))}</p>",
        grid_html.figure(
            pictures["temperatures.png"],
            "Task temperatures: predicted without labels, and the best on the labels.",
            "narrow",
        ),
        grid_html.table(report_tables.tasks(report)),
        *_segments(report),
        "<h2>How it was measured</h2>",
        grid_html.notes(dict(report_words.facts(report))),
    ]
    return grid_html.page(title, body)


def _segments(report: "Report") -> list[str]:
    """Where the thermometer's confidence lies."""
    if report.segments is None:
        return []
    notes = {**segment_tables.NOTES, "tests": segment_tables.facts(report.segments)}
    return [
        "<h2>Segments of the thermometer's confidence</h2>",
        *(f"<p>{escape(sentence)}</p>" for sentence in segment_tables.words(report.segments)),
        grid_html.table(segment_tables.grid(report.segments)),
        grid_html.notes(notes),
    ]


def _cards(report: "Report") -> str:
    """Before and after at a glance."""
    shown = [("ece_10", "Mean task ECE (10 bins)"), ("nll", "NLL"), ("smooth_ece", "Smooth ECE")]
    cards = []
    for key, title in shown:
        before, after = (
            report.methods[name].mean_over_tasks[key].estimate
            for name in ("vanilla", "thermometer")
        )
        tone = "better" if after < before else "worse"
        cards.append((title, f'{before:.3f} → <i class="{tone}">{after:.3f}</i>'))
    closed = report.methods["thermometer"].mean_over_tasks["gap_closed"].estimate
    cards.append(("Gap to the topline closed", report_words.percent(closed)))
    return (
        '<div class="cards">'
        + "".join(f'<div class="card"><span>{t}</span><b>{value}</b></div>' for t, value in cards)
        + "</div>"
    )
