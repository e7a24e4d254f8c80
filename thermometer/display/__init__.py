"""Confidence for people: words, bars and natural frequencies, in the terminal and as HTML.

What is shown must be declared as calibrated (`Confidence`); raw confidence is refused unless asked
for, and then marked.
"""

from thermometer.display.confidence import Confidence as Confidence
from thermometer.display.inline_html import STYLE as STYLE
from thermometer.display.inline_html import html as html
from thermometer.display.phrases import PHRASES as PHRASES
from thermometer.display.phrases import Phrases as Phrases
from thermometer.display.phrases import frequency as frequency
from thermometer.display.phrases import percent as percent
from thermometer.display.phrases import words as words
from thermometer.display.terminal import bar as bar
from thermometer.display.terminal import line as line
from thermometer.display.terminal import rich_line as rich_line
