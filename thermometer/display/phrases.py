"""Words, percentages and natural frequencies for a confidence, from a table that can be replaced.

People understand such words quite differently from one another (Wallsten et al. 1986), and less
extremely than they are meant unless the number stands beside them (Budescu et al. 2009, 2014): show
both.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

from thermometer import _checks
from thermometer.display.confidence import Confidence, shown

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
    one = shown(confidence, raw)
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
    one = shown(confidence, raw)
    text = f"{_rounded(one.value)} %"
    if one.bounds is not None:
        low, high = map(_rounded, one.bounds)
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
    one = shown(confidence, raw)
    total, right = _counts(one.value)
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


def _rounded(value: float) -> str:
    """Whole percents, but not 0 or 100 for what is neither."""
    if 0 < value <= 0.005:
        return "under 1"
    if 0.995 <= value < 1:
        return "over 99"
    return f"{value * 100:.0f}"


def _counts(value: float) -> tuple[int, int]:
    """The number that a natural frequency is out of, and how many of these are right."""
    for total in _OUT_OF:
        right = round(value * total)
        if abs(right / total - value) <= _TOLERANCE * min(value, 1 - value):
            return total, right
    return _OUT_OF[-1], round(value * _OUT_OF[-1])
