"""Confidence as a piece of HTML, to stand behind an answer on any page.

It needs no script and no picture. The bar is read aloud as one sentence, and nothing is told by
colour alone; text takes the colour of the page, and the blue is clear of light and dark grounds.
"""

from html import escape

from thermometer.display.confidence import Confidence, shown
from thermometer.display.phrases import PHRASES, Phrases, frequency, percent, words

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
    confidence: Confidence,
    answer: str = "",
    *,
    phrases: Phrases = PHRASES,
    raw: bool = False,
) -> str:
    """Bar, percentage and words as HTML, after the answer if one is given.

    The bar is filled up to the confidence, or up to its lower bound and hatched from there to the
    upper one. One that is not calibrated is pale, has a dashed frame and says so. A screen reader
    hears one sentence, with the natural frequency. Answer and phrases are escaped.

    Args:
        confidence: Declared by `Confidence`.
        answer: Text to stand before it.
        phrases: The table of words.
        raw: Show a confidence that is not calibrated, and say so.

    Raises:
        TypeError: For a plain number.
        ValueError: For one that is not calibrated, unless `raw`.

    Example:
        >>> page = STYLE + html(Confidence(0.7, calibrated=True), "Paris")
        >>> "about 7 of 10 such answers are right" in page
        True
    """
    one = shown(confidence, raw)
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
