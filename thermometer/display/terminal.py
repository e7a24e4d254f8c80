"""Confidence in the terminal: a bar, and a line with number and words.

Strings come out, nothing is printed. With ``ascii=True`` they hold ASCII only where the table of
phrases does.
"""

from rich.text import Text

from thermometer import _checks
from thermometer.display.confidence import Confidence, shown
from thermometer.display.phrases import PHRASES, Phrases, percent, words

_BLOCKS, _ASCII = (
    ("█", "▒", "░"),
    ("#", "=", "."),
)  # up to the lower bound, between the bounds, above
_STYLES = ((0.8, "green"), (0.45, "yellow"), (0.0, "red"))


def bar(
    confidence: Confidence,
    width: int = 20,
    *,
    ascii: bool = False,  # noqa: A002
    raw: bool = False,
) -> str:
    """A bar as long as the confidence is high; between its bounds it is shaded.

    Args:
        confidence: Declared by `Confidence`.
        width: Number of characters, at least 4.
        ascii: Use ``#``, ``=`` and ``.`` instead of blocks.
        raw: Show a confidence that is not calibrated.

    Raises:
        TypeError: For a plain number.
        ValueError: For one that is not calibrated, unless `raw`; if the width is too small.

    Example:
        >>> bar(Confidence(0.7, calibrated=True), 10)
        '███████░░░'
        >>> bar(Confidence(0.7, calibrated=True, low=0.5, high=0.8), 10, ascii=True)
        '#####===..'
    """
    one = shown(confidence, raw)
    width = _checks.integer("width", width, minimum=4)
    low, high = one.bounds or (one.value, one.value)
    full, part, empty = _ASCII if ascii else _BLOCKS
    first, last = round(low * width), round(high * width)
    return full * first + part * (last - first) + empty * (width - last)


def line(
    confidence: Confidence,
    width: int = 20,
    *,
    phrases: Phrases = PHRASES,
    ascii: bool = False,  # noqa: A002
    raw: bool = False,
) -> str:
    """Bar, percentage and words. Arguments and errors are those of `bar` and `words`.

    Example:
        >>> print(line(Confidence(0.7, calibrated=True), 10))
        ███████░░░ 70 %, likely right
    """
    shape = bar(confidence, width, ascii=ascii, raw=raw)
    return f"{shape} {percent(confidence, raw=raw)}, {words(confidence, phrases, raw=raw)}"


def rich_line(
    confidence: Confidence,
    width: int = 20,
    *,
    phrases: Phrases = PHRASES,
    ascii: bool = False,  # noqa: A002
    raw: bool = False,
) -> Text:
    """`line` for rich, the bar in green, yellow or red; length, number and words say the same.

    What the table of phrases holds is text, never markup.

    Example:
        >>> rich_line(Confidence(0.3, calibrated=True), 10).plain
        '███░░░░░░░ 30 %, likely wrong'
    """
    text = Text(line(confidence, width, phrases=phrases, ascii=ascii, raw=raw))
    colour = next(colour for edge, colour in _STYLES if confidence.value >= edge)
    text.stylize(colour if confidence.calibrated else "dim", 0, width)
    return text
