"""Calibrated confidence shown to people, in a terminal and in HTML.

As words, bars and natural frequencies. Only a `Confidence`, which says whether it is calibrated, is
shown, and one that is not calibrated only if `raw` asks for it.
"""

import math
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

from rich.text import Text

from thermometer import _checks


@dataclass(frozen=True, slots=True)
class Confidence:
    """The probability that an answer is right, declared as calibrated or not.

    Args:
        value: In [0, 1].
        calibrated: Whether answers like this one were found to be right as often as it says.
        low: Lower bound of the value, at most `value`; given with `high` or not at all.
        high: Upper bound, at least `value`.

    Raises:
        TypeError: If `calibrated` is no boolean.
        ValueError: If a number is out of range, or only one bound is given.

    Example:
        >>> Confidence(0.7, calibrated=True, low=0.6, high=0.8).value
        0.7
    """

    value: float
    calibrated: bool = field(kw_only=True)
    low: float | None = field(default=None, kw_only=True)
    high: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.calibrated, bool):
            raise TypeError(f"Expected `calibrated` to be a boolean, but got {self.calibrated!r}")
        value = _checks.number("value", self.value, maximum=1.0)
        object.__setattr__(self, "value", value)
        if (self.low is None) != (self.high is None):
            raise _checks.fail("low", "given together with `high`", "one of them")
        if self.low is not None:
            object.__setattr__(self, "low", _checks.number("low", self.low, maximum=value))
            object.__setattr__(self, "high", _checks.number("high", self.high, value, 1.0))

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Lower and upper bound, if there are any."""
        return None if self.low is None or self.high is None else (self.low, self.high)


def _shown(confidence: Confidence, raw: bool) -> Confidence:
    """The confidence, if it may be shown."""
    if not isinstance(confidence, Confidence):
        raise TypeError(
            f"Expected `confidence` to be a Confidence, but got {confidence!r}. "
            "Declare it: Confidence(0.7, calibrated=True), or calibrated=False for raw confidence"
        )
    if not confidence.calibrated and not raw:
        raise _checks.fail(
            "confidence", "calibrated, or shown with raw=True", "one that is not calibrated"
        )
    return confidence


_OUT_OF = (10, 20, 100, 1000)
_TOLERANCE = 0.2  # error of a natural frequency, as a share of the rarer outcome


@dataclass(frozen=True)
class Phrases:
    """A table of words: each holds from its confidence up to that of the next.

    Args:
        levels: Pairs of a confidence and its words, from 0 upwards.

    Raises:
        ValueError: If the first is not 0, they do not rise, or words are empty.

    Example:
        >>> table = Phrases(((0.0, "ask someone"), (0.8, "fairly safe")))
        >>> table.of(0.79), table.of(0.8)
        ('ask someone', 'fairly safe')
    """

    levels: tuple[tuple[float, str], ...]

    def __post_init__(self) -> None:
        edges = [_checks.number("levels", edge, maximum=1.0) for edge, _ in self.levels]
        if not edges or edges[0] != 0:
            raise _checks.fail("levels", "pairs that begin at 0", edges[:1])
        if any(b <= a for a, b in pairwise(edges)):
            raise _checks.fail("levels", "rising", edges)
        for text in _checks.strings("levels", [text for _, text in self.levels]):
            if not text.strip():
                raise _checks.fail("levels", "words", repr(text))

    def of(self, confidence: float) -> str:
        """The words for a number in [0, 1]."""
        value = _checks.number("confidence", confidence, maximum=1.0)
        return next(text for edge, text in reversed(self.levels) if value >= edge)


PHRASES = Phrases(
    (
        (0.0, "almost certainly wrong"),
        (0.05, "very likely wrong"),
        (0.2, "likely wrong"),
        (0.45, "about as likely right as wrong"),
        (0.55, "likely right"),
        (0.8, "very likely right"),
        (0.95, "almost certainly right"),
    )
)
"""The default. Its ranges are those of the seven phrases of ICD 203 (2015), the standard of the US
intelligence community, which goes back to Kent (1964, "Words of estimative probability")."""


def words(confidence: Confidence, phrases: Phrases = PHRASES, *, raw: bool = False) -> str:
    """Words for a confidence; for two bounds that differ in words, both.

    Args:
        confidence: Declared by `Confidence`.
        phrases: The table.
        raw: Show a confidence that is not calibrated, and say so.

    Raises:
        TypeError: For a plain number; the message says how to declare it.
        ValueError: For one that is not calibrated, unless `raw`.

    Example:
        >>> words(Confidence(0.7, calibrated=True))
        'likely right'
        >>> words(Confidence(0.7, calibrated=True, low=0.5, high=0.75))
        'from about as likely right as wrong to likely right'
        >>> words(Confidence(0.7, calibrated=False), raw=True)
        'likely right (not calibrated)'
    """
    one = _shown(confidence, raw)
    text = phrases.of(one.value)
    if one.bounds is not None:
        low, high = map(phrases.of, one.bounds)
        text = low if low == high else f"from {low} to {high}"
    return text if one.calibrated else f"{text} (not calibrated)"


def percent(confidence: Confidence, *, raw: bool = False) -> str:
    """A percentage, and its bounds; 0 % and 100 % are said of exactly 0 and 1 only.

    Arguments and errors are those of `words`.

    Example:
        >>> percent(Confidence(0.7, calibrated=True, low=0.62, high=0.78))
        '70 % (62 to 78)'
        >>> percent(Confidence(0.999, calibrated=True))
        'over 99 %'
    """
    one = _shown(confidence, raw)

    def rounded(value: float) -> str:
        if 0 < value <= 0.005:
            return "under 1"
        return "over 99" if 0.995 <= value < 1 else f"{value * 100:.0f}"

    text = f"{rounded(one.value)} %"
    if one.bounds is not None:
        low, high = map(rounded, one.bounds)
        text += f" ({low} to {high})"
    return text


def frequency(confidence: Confidence, *, raw: bool = False) -> str:
    """How many of how many such answers are right (Gigerenzer and Hoffrage 1995).

    Out of the first of 10, 20, 100 and 1,000 that is within a fifth of the rarer outcome; the
    bounds are rounded outwards. Arguments and errors are those of `words`; of a confidence that
    is not calibrated it says what is claimed, not what is so.

    Example:
        >>> frequency(Confidence(0.7, calibrated=True, low=0.62, high=0.78))
        'about 7 of 10 such answers are right (6 to 8)'
        >>> frequency(Confidence(0.97, calibrated=True))
        'about 97 of 100 such answers are right'
        >>> frequency(Confidence(0.97, calibrated=False), raw=True)
        'it claims that about 97 of 100 such answers are right'
    """
    one = _shown(confidence, raw)
    rarer = min(one.value, 1 - one.value)
    total = next(
        (n for n in _OUT_OF if abs(round(one.value * n) / n - one.value) <= _TOLERANCE * rarer),
        _OUT_OF[-1],
    )
    right = round(one.value * total)
    if one.value in (0.0, 1.0):
        text = "all such answers are right" if one.value else "no such answer is right"
    elif 0 < right < total:
        text = f"about {right:,} of {total:,} such answers are right"
    else:
        text = f"{'more than 999' if right else 'fewer than 1'} of 1,000 such answers are right"
    if one.bounds is not None:
        low, high = one.bounds
        first, last = math.floor(low * total + 1e-9), math.ceil(high * total - 1e-9)
        text += f" ({first:,} to {last:,})"
    return text if one.calibrated else f"it claims that {text}"


# Up to the lower bound, between the bounds, above.
_BLOCKS, _ASCII = ("█", "▒", "░"), ("#", "=", ".")
_STYLES = ((0.8, "green"), (0.45, "yellow"), (0.0, "red"))


def bar(
    confidence: Confidence,
    width: int = 20,
    *,
    ascii: bool = False,  # noqa: A002
    raw: bool = False,
) -> str:
    """A bar as long as the confidence is high; between its bounds it is shaded.

    It is `width` characters long, at least 4; with `ascii` these are ``#``, ``=`` and ``.``. Other
    arguments and errors are those of `words`.

    Example:
        >>> bar(Confidence(0.7, calibrated=True), 10)
        '███████░░░'
        >>> bar(Confidence(0.7, calibrated=True, low=0.5, high=0.8), 10, ascii=True)
        '#####===..'
    """
    one = _shown(confidence, raw)
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


STYLE = """<style>
.confidence { display: inline-flex; flex-wrap: wrap; align-items: center; gap: .15em .6em;
  font-variant-numeric: tabular-nums; }
.confidence .bar { position: relative; width: 7em; height: .8em; overflow: hidden;
  box-sizing: border-box; border: 1px solid currentColor; border-radius: .4em; }
.confidence .bar i { position: absolute; inset: 0 auto 0 0; background: #2a86c8;
  forced-color-adjust: none; }
.confidence .bar .range { background: repeating-linear-gradient(135deg, #2a86c8 0 2px,
  transparent 2px 5px); }
.confidence.raw .bar { border-style: dashed; }
.confidence.raw .bar i { opacity: .45; }
.confidence .words { opacity: .75; }
</style>
"""
"""Put it once into each page that shows confidences."""


def html(
    confidence: Confidence, answer: str = "", *, phrases: Phrases = PHRASES, raw: bool = False
) -> str:
    """Bar, percentage and words as HTML, after the answer if one is given.

    The bar is filled up to the confidence, or up to its lower bound and hatched from there to the
    upper one. One that is not calibrated is pale, has a dashed frame and says so. A screen reader
    hears one sentence, with the natural frequency. Answer and phrases are escaped. Other arguments
    and errors are those of `words`.

    Example:
        >>> page = STYLE + html(Confidence(0.7, calibrated=True), "Paris")
        >>> "about 7 of 10 such answers are right" in page
        True
    """
    one = _shown(confidence, raw)
    number, said = percent(one, raw=raw), words(one, phrases, raw=raw)
    spoken = f"Confidence {number}, {said}; {frequency(one, raw=raw)}"
    low, high = one.bounds or (one.value, one.value)
    parts = f'<i style="width:{low:.1%}"></i>'
    if high > low:
        parts += f'<i class="range" style="left:{low:.1%};width:{high - low:.1%}"></i>'
    shape = (
        f'<span class="confidence{"" if one.calibrated else " raw"}" role="img" '
        f'aria-label="{escape(spoken)}" title="{escape(frequency(one, raw=raw))}">'
        f'<span class="bar">{parts}</span><span>{escape(number)}</span>'
        f'<span class="words">{escape(said)}</span></span>'
    )
    return f"<span>{escape(answer)}</span> {shape}" if answer else shape
