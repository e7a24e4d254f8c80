r"""The confidence that a reply states, as a number in [0, 1], or none.

The scale on which a bare number is meant is declared by whoever asked, never guessed. Nothing here
knows models.
"""

import re
import unicodedata
from bisect import bisect_left
from typing import Literal, get_args

from thermometer import _checks

Scale = Literal["percent", "unit"]
SCALES: tuple[Scale, ...] = get_args(Scale)

_NUMBER = r"[-+]?(?:[0-9]+(?:[.,][0-9]+)*|\.[0-9]+)"
_STATEMENT = re.compile(
    rf"""(?<![\w.,/+-])
    (?: between[ ](?P<a>{_NUMBER})[ ]?%?[ ]and[ ](?P<b>{_NUMBER})
      | (?P<low>{_NUMBER})[ ]?%?[ ]?(?:-|to)[ ]?(?P<high>{_NUMBER})
      | (?P<value>{_NUMBER})
    )
    (?P<unit>[ ]?(?:%|per[ ]?cent\b|pct\b|(?:/|out[ ]of)[ ]?(?P<whole>[0-9]+)))?
    (?![\w/]|[.,][0-9])""",
    re.VERBOSE | re.IGNORECASE,
)
_LABEL = re.compile(r"\b(?:confidence|probability|likelihood|certainty)\b", re.IGNORECASE)
_SAME_PHRASE = re.compile(r"[^.;!?]{0,40}")  # between a label and its number
_DASHES = str.maketrans(dict.fromkeys("\N{MINUS SIGN}\N{EN DASH}\N{EM DASH}", "-"))


def read_confidence(text: str, scale: Scale) -> float | None:
    """The confidence that a text states, in [0, 1], or `None` if there is none or it is not clear.

    Which number counts: the last that follows a word such as "Confidence" in one phrase; else the
    last with a unit; else the only one there is. Several bare numbers are not clear.

    What it means: "90 %", "90 percent", "90/100" and "9 out of 10" say their scale themselves. A
    bare number is meant on the declared scale: 90 in percent and 0.9 in units are 0.9. What does
    not lie on the scale is not read: 90 in units, 120 in percent. Nor is a decimal fraction up to
    one in percent, 0.9, which may be meant either way. "60-70 %" and "between 60 and 70" are their
    middle. A comma is a decimal comma, "87,5", unless it parts thousands, "1,000".

    Args:
        text: A reply.
        scale: `percent` or `unit`: what was asked for.

    Raises:
        ValueError: For an unknown scale.

    Example:
        >>> [read_confidence(text, "percent") for text in ("I am 90 percent sure", "0.9", "Paris")]
        [0.9, None, None]
        >>> [read_confidence(text, "unit") for text in ("about 0.8", "80", "80 %")]
        [0.8, None, 0.8]
    """
    _checks.one_of("scale", scale, SCALES)
    plain = unicodedata.normalize("NFKC", text).translate(_DASHES)
    plain = re.sub(r"[^\S\n]+", " ", plain)
    found = [match for match in _STATEMENT.finditer(plain) if not _is_whole_scale(match)]
    starts = [match.start() for match in found]
    for label in reversed(list(_LABEL.finditer(plain))):
        following = bisect_left(starts, label.end())
        if following < len(found) and _SAME_PHRASE.fullmatch(plain, label.end(), starts[following]):
            return _meant(found[following], scale)
    with_unit = [match for match in found if match["unit"]]
    if with_unit:
        return _meant(with_unit[-1], scale)
    return _meant(found[0], scale) if len(found) == 1 else None


def _texts(match: re.Match[str]) -> list[str]:
    """The number of a statement, or the two bounds."""
    return [text for text in match.group("a", "b", "low", "high", "value") if text]


def _is_whole_scale(match: re.Match[str]) -> bool:
    """Whether it only repeats the scale: "(0-100)"."""
    return [_number(text) for text in _texts(match)] in ([0, 1], [0, 10], [0, 100])


def _meant(match: re.Match[str], scale: Scale) -> float | None:
    values = [_number(text) for text in _texts(match)]
    whole = 100.0
    if match["whole"]:
        whole = _number(match["whole"])
        if whole not in (10, 100):  # 50/50, 1/3
            return None
    elif not match["unit"] and scale == "unit":
        whole = 1.0
    elif not match["unit"] and any(
        0 < value <= 1 and not text.isdigit()
        for value, text in zip(values, _texts(match), strict=True)
    ):
        return None
    if not all(0 <= value <= whole for value in values) or values != sorted(values):
        return None
    return sum(values) / len(values) / whole


def _number(text: str) -> float:
    """The value of a number with a decimal point or a decimal comma; NaN if it has two."""
    if re.fullmatch(r"[-+]?[1-9][0-9]{0,2}(?:,[0-9]{3})+(?:\.[0-9]+)?", text):
        return float(text.replace(",", ""))
    plain = text.replace(",", ".")
    return float(plain) if plain.count(".") <= 1 else float("nan")
