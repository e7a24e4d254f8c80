"""Grids, pictures and notes as HTML that opens alone: no network, no scripts, pictures inside.

The page follows the reader's light or dark colours. Nothing here knows what is shown.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape

from thermometer.reports.grids import Cell, Grid

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


def page(title: str, body: Sequence[str]) -> str:
    """A whole file; `title` is escaped here, the parts of `body` are HTML already."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def verdict(sentences: Sequence[str]) -> str:
    """What the reader should see first; the first sentence is the largest."""
    return '<div class="verdict">' + "".join(f"<p>{escape(s)}</p>" for s in sentences) + "</div>"


def figure(png: bytes, text: str, kind: str = "") -> str:
    """A picture inside the file with its caption; `kind` may be `narrow`."""
    data = b64encode(png).decode()
    return (
        f'<figure class="{kind}"><img alt="" src="data:image/png;base64,{data}">'
        f"<figcaption>{escape(text)}</figcaption></figure>"
    )


def table(grid: Grid) -> str:
    """A grid under its title; a wide one in smaller type."""
    head = "".join(f"<th>{escape(title)}</th>" for title in grid.header)
    rows = "\n".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in grid.rows)
    kind = ' class="dense"' if len(grid.header) > 10 else ""
    return (
        f"<h2>{escape(grid.title)}</h2>\n"
        f'<div class="scroll"><table{kind}>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody></table></div>"
    )


def notes(terms: Mapping[str, str]) -> str:
    """Terms and what they mean."""
    items = "".join(f"<dt>{escape(k)}</dt><dd>{escape(words)}</dd>" for k, words in terms.items())
    return f"<dl>{items}</dl>"


def _cell(cell: Cell) -> str:
    detail = f"<small>{escape(cell.detail)}</small>" if cell.detail else ""
    kind = f' class="{cell.tone}"' if cell.tone else ""
    return f"<td{kind}>{escape(cell.text)}{detail}</td>"
