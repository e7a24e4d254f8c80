"""Documents in the terminal, as Markdown and as HTML, and the files of a report.

An HTML page opens alone: no network, no scripts, pictures inside, in the reader's light or dark
colours. Every text is escaped.
"""

from abc import ABC, abstractmethod
from base64 import b64encode
from html import escape
from io import StringIO
from pathlib import Path
from typing import Literal

from rich import box
from rich import table as rich_tables
from rich import text as rich_text
from rich.console import Console

from thermometer import _checks, _files
from thermometer.plots.terminal import canvas
from thermometer.reports.blocks import (
    Block,
    Cell,
    Document,
    Heading,
    Picture,
    Table,
    Terms,
    Text,
    Verdict,
)

_TONES = {"best": "bold", "better": "green", "worse": "red", "faint": "dim", "": ""}
_DENSE = 10  # columns above which HTML sets a table in smaller type


class Written(ABC):
    """What reports share that are printed and written to a folder."""

    @abstractmethod
    def document(self) -> Document:
        """What is shown."""

    @abstractmethod
    def to_json(self) -> str:
        """The report as JSON text; what is undefined is `null`."""

    def print(self, console: Console | None = None, *, pictures: bool = False) -> None:
        """Print the most important numbers and the result in words; 80 columns are enough.

        Args:
            console: Where to print; by default the standard output.
            pictures: Also draw pictures as text.
        """
        to_terminal(self.document(), console, pictures=pictures)

    def pictures(self) -> dict[str, bytes]:
        """PNG files by name."""
        return self.document().images()

    def write(self, folder: str | Path) -> Path:
        """Write report.html, which opens alone, report.md, report.json and the pictures.

        Args:
            folder: Made if needed; files of the same names are replaced.

        Returns:
            The folder.
        """
        document = self.document()
        texts = {
            "report.md": to_markdown(document),
            "report.html": to_html(document),
            "report.json": self.to_json(),
        }
        return _files.write_all(folder, {**document.images(), **texts})


def to_terminal(
    document: Document, console: Console | None = None, *, pictures: bool = True
) -> None:
    """Print what the document has for the terminal; 80 columns are enough.

    Args:
        document: Any.
        console: Where to print; by default the standard output.
        pictures: Also show the pictures that can be drawn as text.
    """
    console = console or Console()
    first = True
    for block in document.terminal:
        if isinstance(block, Picture) and (block.text is None or not pictures):
            continue
        if not first:
            console.print()
        first = False
        _print(block, console)


def to_text(document: Document, width: int = 80) -> str:
    """What the document has for the terminal as plain text."""
    text = StringIO()
    to_terminal(document, Console(width=width, file=text, color_system=None))
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def to_markdown(document: Document) -> str:
    """The page as Markdown, its pictures as neighbouring files."""
    blocks = [_markdown(block) for block in document.page]
    return "\n\n".join([f"# {_checks.markdown(document.title)}", *filter(None, blocks)]) + "\n"


def to_html(document: Document) -> str:
    """The page as one HTML file."""
    title = escape(document.title)
    body = "\n".join(map(_html, document.page))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f'<h1>{title}</h1>\n<p class="when">{escape(document.subtitle)}</p>\n{body}\n'
        "</body>\n</html>\n"
    )


def _plain(text: str, style: str = "") -> rich_text.Text:
    """Text for rich without markup, or anything that a terminal obeys."""
    return rich_text.Text(_checks.shown(text), style=style)


def rich_table(table: Table) -> rich_tables.Table:
    """A table for rich, without its title: names on the left, numbers on the right.

    Names and texts may take several lines, numbers may not.
    """
    shown = rich_tables.Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        show_edge=False,
        caption=_plain(table.note, style="dim") if table.note else None,
        caption_justify="left",
    )
    for position, title in enumerate(table.header):
        wraps = not position or title == "verdict"
        side: Literal["left", "right"] = "right" if position else "left"
        shown.add_column(_plain(title), justify=side, no_wrap=not wraps, overflow="fold")
    for row in table.rows:
        shown.add_row(*map(_rich_cell, row))
    return shown


def _rich_cell(cell: Cell) -> rich_text.Text:
    """A cell whose content cannot style it; the detail goes below, without signs of per cent."""
    shown = _plain(cell.text, style=_TONES[cell.tone])
    if cell.detail:
        shown.append(_checks.shown("\n" + cell.detail.replace(" %", "")), style="dim not bold")
    return shown


def _print(block: Block, console: Console) -> None:
    match block:
        case Heading(text):
            console.print(_plain(text, style="bold"))
        case Text(text):
            console.print(_plain(text))
        case Terms(items):
            for name, text in items.items():
                console.print(_plain(f"{name}: {text}", style="dim"))
        case Verdict(sentences):
            style = "red bold" if block.alarming else "bold"
            for position, sentence in enumerate(sentences):
                console.print(_plain(sentence, style="" if position else style))
        case Table(title):
            if title:
                console.print(_plain(title, style="bold"))
            console.print(rich_table(block))
        case Picture(title, text=text) if text is not None:
            if title:
                console.print(_plain(title, style="bold"))
            console.print(_plain(text(**canvas(console))))


def _markdown(block: Block) -> str:
    match block:
        case Heading(text):
            return f"## {_checks.markdown(text)}"
        case Text(text):
            return _checks.markdown(text)
        case Terms(items):
            return "\n".join(
                f"- **{_checks.markdown(k)}**: {_checks.markdown(text)}"
                for k, text in items.items()
            )
        case Verdict(sentences):
            return _checks.markdown(" ".join(sentences))
        case Table(title, header, rows, note):
            lines = [f"### {_checks.markdown(title)}", ""] if title else []
            lines += ["| " + " | ".join(map(_checks.markdown, header)) + " |"]
            lines += ["| --- |" + " --: |" * (len(header) - 1)]
            lines += ["| " + " | ".join(map(_markdown_cell, row)) + " |" for row in rows]
            return "\n".join([*lines, *(["", _checks.markdown(note)] if note else [])])
        case Picture(title, caption, name) if name:
            shown = f"![{_checks.markdown(title)}]({name})"
            return f"{shown}\n\n{_checks.markdown(caption)}" if caption else shown
    return ""


def _markdown_cell(cell: Cell) -> str:
    shown = _checks.markdown(cell.text)
    if cell.tone == "best":
        shown = f"**{shown}**"
    return f"{shown}<br><sub>{_checks.markdown(cell.detail)}</sub>" if cell.detail else shown


def _html(block: Block) -> str:
    match block:
        case Heading(text):
            return f"<h2>{escape(text)}</h2>"
        case Text(text):
            return f"<p>{escape(text)}</p>"
        case Terms(items):
            pairs = (f"<dt>{escape(k)}</dt><dd>{escape(text)}</dd>" for k, text in items.items())
            return f"<dl>{''.join(pairs)}</dl>"
        case Verdict(sentences, figures):
            said = "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences)
            cards = "".join(
                f'<div class="card"><span>{escape(title)}</span>'
                f'<b class="{cell.tone}">{escape(cell.text)}</b></div>'
                for title, cell in figures
            )
            kind = "verdict alarming" if block.alarming else "verdict"
            shown = f'\n<div class="cards">{cards}</div>' if cards else ""
            return f'<div class="{kind}">{said}</div>{shown}'
        case Table():
            return _html_table(block)
        case Picture(title, caption, draw=draw) if draw is not None:
            data = b64encode(block.png).decode()
            return (
                f'<figure class="{"narrow" if block.narrow else "wide"}">'
                f'<img alt="{escape(title)}" src="data:image/png;base64,{data}">'
                f"<figcaption>{escape(f'{title}. {caption}'.strip())}</figcaption></figure>"
            )
    return ""


def _html_table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in table.header)
    rows = "\n".join(
        f"<tr>{''.join(_html_cell(cell, not i) for i, cell in enumerate(row))}</tr>"
        for row in table.rows
    )
    kind = "dense" if len(table.header) > _DENSE else "roomy"
    return (
        (f"<h2>{escape(table.title)}</h2>\n" if table.title else "")
        + f'<div class="scroll"><table class="{kind}">\n'
        + f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>"
        + (f'\n<p class="aside">{escape(table.note)}</p>' if table.note else "")
    )


def _html_cell(cell: Cell, names_row: bool) -> str:
    start, end = ('<th scope="row"', "</th>") if names_row else ("<td", "</td>")
    kind = f' class="{cell.tone}"' if cell.tone else ""
    detail = f"<small>{escape(cell.detail)}</small>" if cell.detail else ""
    return f"{start}{kind}>{escape(cell.text)}{detail}{end}"


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
.alarming { border-left-color: var(--bad); } .verdict p { margin: .3rem 0; }
.verdict p:first-child { font-size: 1.12rem; font-weight: 600; }
.cards { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.4rem 0; }
.card { flex: 1 1 13rem; border: 1px solid var(--line); border-radius: 8px; padding: .7rem 1rem; }
.card span { display: block; color: var(--quiet); font-size: .85rem; }
.card b { font-size: 1.45rem; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums;
  font-size: .92rem; }
th, td { padding: .38rem .7rem; text-align: right; white-space: nowrap; vertical-align: top;
  border-bottom: 1px solid var(--line); }
thead th { color: var(--quiet); font-weight: 600; font-size: .82rem; border-bottom-width: 2px; }
tbody th { font-weight: 400; }
th:first-child { text-align: left; padding-left: 0; }
tbody tr:hover { background: var(--raised); }
small { display: block; color: var(--quiet); font-size: .76rem; font-weight: 400; }
.dense { font-size: .84rem; } .dense th { white-space: normal; }
.dense thead th { vertical-align: bottom; } .dense th, .dense td { padding: .3rem .42rem; }
tbody .best { font-weight: 700; } .better { color: var(--good); } .worse { color: var(--bad); }
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
