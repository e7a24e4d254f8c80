"""A report as one HTML file that opens alone: no network, no scripts, pictures inside.

It shows what `report_tables` says, in the reader's light or dark colours.
"""

from base64 import b64encode
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

from thermometer import report_tables, report_words
from thermometer.report_tables import Cell, Grid

if TYPE_CHECKING:
    from thermometer.report import Report

_STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --quiet: #66707b; --line: #dfe3e8;
  --ground: #ffffff; --raised: #f6f8fa; --accent: #0072b2; --good: #1a7f4b; --bad: #b3401a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7eb; --quiet: #98a2ad; --line: #343b43;
  --ground: #14171b; --raised: #1d2126; --accent: #56b4e9; --good: #5fcf96; --bad: #f0845a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 74rem; background: var(--ground);
  color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .2rem; }
h2 { font-size: 1.25rem; margin: 2.75rem 0 .6rem; }
.when { color: var(--quiet); margin: 0 0 1.5rem; }
.verdict { border-left: 4px solid var(--accent); background: var(--raised);
  border-radius: 0 8px 8px 0; padding: .9rem 1.2rem; }
.verdict p { margin: .3rem 0; }
.verdict p:first-child { font-size: 1.12rem; font-weight: 600; }
.cards { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.4rem 0; }
.card { flex: 1 1 13rem; border: 1px solid var(--line); border-radius: 8px; padding: .7rem 1rem; }
.card span { display: block; color: var(--quiet); font-size: .85rem; }
.card i { font-style: normal; }
.card b { font-size: 1.45rem; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums;
  font-size: .92rem; }
th, td { padding: .38rem .7rem; text-align: right; white-space: nowrap; vertical-align: top;
  border-bottom: 1px solid var(--line); }
th { color: var(--quiet); font-weight: 600; font-size: .82rem; border-bottom-width: 2px; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
tbody tr:hover { background: var(--raised); }
small { display: block; color: var(--quiet); font-size: .76rem; font-weight: 400; }
.dense { font-size: .84rem; } .dense th { white-space: normal; vertical-align: bottom; }
.dense th, .dense td { padding: .3rem .42rem; } .dense td:first-child { white-space: normal; }
.best { font-weight: 700; } .better { color: var(--good); } .worse { color: var(--bad); }
.aside, .faint, figcaption { color: var(--quiet); }
figure { margin: 1rem 0; } figcaption { font-size: .85rem; margin-top: .4rem; }
figure img { width: 100%; padding: .8rem .5rem; border-radius: 8px; background: #fff;
  border: 1px solid var(--line); display: block; }
figure.narrow { max-width: 34rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.2rem; font-size: .92rem; }
dt { font-weight: 600; } dd { margin: 0; color: var(--quiet); overflow-wrap: anywhere; }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr; } dd { margin-bottom: .5rem; } }
@media print { .scroll { overflow: visible; } body { max-width: none; padding: 0; } }
"""


def html(report: "Report", pictures: Mapping[str, bytes]) -> str:
    """The whole file.

    Args:
        report: The numbers; every text in it is escaped.
        pictures: `reliability.png` and `temperatures.png`, as `report.pictures` gives them.
    """
    title = "Calibration" if report.seen else "Calibration on unseen tasks"
    sentences = "".join(f"<p>{escape(text)}</p>" for text in report_words.verdict(report))
    scopes = tuple(report_tables.SCOPES)
    body = [
        f"<h1>{title}</h1>",
        f'<p class="when">{len(report.tasks)} tasks, {report.n_rows:,} questions · '
        f"{escape(report.created)}</p>",
        f'<div class="verdict">{sentences}</div>',
        _cards(report),
        _figure(
            pictures["reliability.png"],
            "Reliability of all questions thrown together, in 10 bins. The area of a point follows "
            "the number of questions, its bar is a 95 % interval, the shade is the gap.",
        ),
        *(_grid(report_tables.results(report, scope)) for scope in scopes),
        _notes({**report_words.METHOD_NOTES, **report_words.METRIC_NOTES}),
        *(_grid(report_tables.differences(report, scope)) for scope in scopes),
        "<p class=aside>Below zero the first of the two is better; coloured where the whole "
        "interval lies on one side of zero.</p>",
        "<h2>Temperatures</h2>",
        f"<p>{escape(report_words.temperature_note(report))}</p>",
        _figure(
            pictures["temperatures.png"],
            "Task temperatures: predicted without labels, and the best on the labels.",
            "narrow",
        ),
        _grid(report_tables.tasks(report)),
        "<h2>How it was measured</h2>",
        _notes(dict(report_words.facts(report))),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


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


def _figure(png: bytes, text: str, kind: str = "") -> str:
    data = b64encode(png).decode()
    return (
        f'<figure class="{kind}"><img alt="" src="data:image/png;base64,{data}">'
        f"<figcaption>{escape(text)}</figcaption></figure>"
    )


def _grid(grid: Grid) -> str:
    head = "".join(f"<th>{escape(title)}</th>" for title in grid.header)
    rows = "\n".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in grid.rows)
    kind = ' class="dense"' if len(grid.header) > 10 else ""
    return (
        f"<h2>{escape(grid.title)}</h2>\n"
        f'<div class="scroll"><table{kind}>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody></table></div>"
    )


def _cell(cell: Cell) -> str:
    detail = f"<small>{escape(cell.detail)}</small>" if cell.detail else ""
    kind = f' class="{cell.tone}"' if cell.tone else ""
    return f"<td{kind}>{escape(cell.text)}{detail}</td>"


def _notes(notes: Mapping[str, str]) -> str:
    items = "".join(f"<dt>{escape(k)}</dt><dd>{escape(text)}</dd>" for k, text in notes.items())
    return f"<dl>{items}</dl>"
