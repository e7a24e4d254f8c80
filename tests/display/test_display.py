"""Confidence for people: what is said is true to the number, declared, escaped and readable."""

import re
import unicodedata
from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from thermometer.display import (
    PHRASES,
    STYLE,
    Confidence,
    Phrases,
    bar,
    frequency,
    html,
    line,
    percent,
    rich_line,
    words,
)

chances = st.floats(0, 1) | st.sampled_from([0.0, 0.05, 0.5, 0.95, 1.0])
SHOWING = [words, percent, frequency, bar, line, rich_line, html]


@st.composite
def confidences(draw):
    low, value, high = sorted(draw(st.tuples(chances, chances, chances)))
    if draw(st.booleans()):
        return Confidence(value, calibrated=True)
    return Confidence(value, calibrated=True, low=low, high=high)


def numbers(text):
    return [float(n.replace(",", "")) for n in re.findall(r"\d[\d,]*", text)]


@pytest.mark.parametrize("show", SHOWING)
def test_raw_confidence_is_refused_unless_asked_for_and_then_marked(show):
    with pytest.raises(TypeError, match=r"but got 0\.9\. Declare it: Confidence\(0\.7, calib"):
        show(0.9)
    raw = Confidence(0.9, calibrated=False)
    with pytest.raises(ValueError, match="calibrated, or shown with raw=True, but got one that"):
        show(raw)
    shown = str(show(raw, raw=True))
    if show not in (bar, percent):
        assert re.search("not calibrated|it claims that", shown)
    sure = show(Confidence(0.9, calibrated=True), raw=True)
    assert "not calibrated" not in str(sure)
    assert show(Confidence(0.9, calibrated=True)) == sure


@given(chances)
def test_words_are_those_of_the_range_that_holds_the_number(value):
    said = words(Confidence(value, calibrated=True))
    (edge,) = [edge for edge, text in PHRASES.levels if text == said]
    above = [e for e, _ in PHRASES.levels if e > edge]
    assert edge <= value
    assert not above or value < above[0]


@given(confidences())
def test_a_natural_frequency_is_near_the_number(confidence):
    said = frequency(confidence)
    value = confidence.value
    if value in (0, 1):
        assert said.startswith(("no such", "all such"))
        return
    first, *rest = numbers(said)
    if said.startswith("about"):
        right, total = first, rest[0]
        assert abs(right / total - value) <= max(0.21 * min(value, 1 - value), 0.0005)
    else:
        total = 1000
        assert value > 0.999 if "more than 999" in said else value < 0.001
    if confidence.bounds:
        low, high = numbers(said)[-2:]
        assert low / total <= confidence.low + 1e-6
        assert high / total >= confidence.high - 1e-6
        assert high - low <= (confidence.high - confidence.low) * total + 2


@given(confidences())
@example(Confidence(0.005, calibrated=True))
@example(Confidence(0.995, calibrated=True))
def test_percentages_are_rounded_but_never_to_certainty(confidence):
    said = percent(confidence)
    value = confidence.value
    assert said.startswith(("0 %", "100 %")) == (value in (0, 1))
    first = numbers(said)[0]
    assert abs(first - 100 * value) <= 0.5 or "over 99" in said or "under 1" in said
    assert ("(" in said) == (confidence.bounds is not None)


@given(confidences(), st.integers(4, 60), st.booleans())
def test_a_bar_has_its_width_and_its_lengths(confidence, width, plain):
    drawn = bar(confidence, width, ascii=plain)
    assert len(drawn) == width
    assert drawn.isascii() == plain
    full, shaded = ("#", "=") if plain else ("█", "▒")
    low, high = confidence.bounds or (confidence.value, confidence.value)
    assert abs(drawn.count(full) - low * width) <= 0.5
    assert abs(drawn.count(full) + drawn.count(shaded) - high * width) <= 0.5
    assert sorted(drawn, key=drawn.index) == list(drawn)  # one run of each
    assert all(unicodedata.east_asian_width(c) in "NaA" for c in drawn)


class Reader(HTMLParser):
    """Collects tags with their attributes, and text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.open = [], "", []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@given(confidences(), st.text(max_size=30) | st.just('<b onclick="x">&amp; & '))
@example(Confidence(0.5, calibrated=True), '<script>"&amp;"</script>')
def test_html_is_well_formed_escaped_and_says_all_aloud(confidence, answer):
    evil = Phrases(((0.0, '<script>"no"</script> & so'),))
    read = Reader(html(confidence, answer, phrases=evil))
    assert not read.open
    assert {tag for tag, _ in read.tags} <= {"span", "i"}
    (image,) = [attributes for _, attributes in read.tags if attributes.get("role") == "img"]
    spoken = image["aria-label"]
    for part in (percent(confidence), words(confidence, evil), frequency(confidence)):
        assert part in spoken
    assert words(confidence, evil) in read.text
    if answer and "\r" not in answer and "\0" not in answer:
        assert answer in read.text
    lengths = [
        float(x) for _, a in read.tags for x in re.findall(r"[\d.]+(?=%)", a.get("style", ""))
    ]
    low, high = confidence.bounds or (confidence.value, confidence.value)
    assert lengths[0] == pytest.approx(100 * low, abs=0.06)
    assert sum(lengths) == pytest.approx(100 * (high + low * (len(lengths) > 1)), abs=0.2)


def test_what_is_not_calibrated_looks_different_in_more_than_colour():
    read = Reader(html(Confidence(0.9, calibrated=False), raw=True))
    assert "confidence raw" in [a.get("class") for _, a in read.tags]
    assert "(not calibrated)" in read.text
    assert ".confidence.raw .bar { border-style: dashed; }" in STYLE
    assert "url(" not in STYLE
    assert "@import" not in STYLE


def test_rich_shows_colours_and_takes_phrases_as_text():
    tagged = Phrases(((0.0, "[bold]low[/]"), (0.5, "[red]high")))
    console = Console(force_terminal=True, color_system="standard", width=80, record=True)
    with console.capture() as captured:
        console.print(rich_line(Confidence(0.9, calibrated=True), 10, phrases=tagged))
    assert "[red]high" in captured.get()
    assert "\x1b[32m█" in captured.get()
    styles = [
        str(rich_line(Confidence(v, calibrated=True)).spans[0].style) for v in (0.1, 0.5, 0.9)
    ]
    assert styles == ["red", "yellow", "green"]
    assert str(rich_line(Confidence(0.9, calibrated=False), raw=True).spans[0].style) == "dim"


def test_the_line_by_hand():
    assert line(Confidence(0.62, calibrated=True, low=0.5, high=0.75), 8, ascii=True) == (
        "####==.. 62 % (50 to 75), from about as likely right as wrong to likely right"
    )
    assert words(Confidence(0.62, calibrated=True, low=0.6, high=0.7)) == "likely right"
    own = Phrases(((0.0, "ask"), (0.9, "fine")))
    assert words(Confidence(0.9, calibrated=True), own) == "fine"
    assert line(Confidence(0.1, calibrated=True), 4, phrases=own).endswith("10 %, ask")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Confidence(1.2, calibrated=True), "`value`"),
        (lambda: Confidence(float("nan"), calibrated=True), "`value`"),
        (lambda: Confidence(0.5, calibrated=1), "`calibrated` to be a boolean, but got 1"),
        (lambda: Confidence(0.5, calibrated=True, low=0.6, high=0.7), "`low`"),
        (lambda: Confidence(0.5, calibrated=True, low=0.3, high=0.4), "`high`"),
        (lambda: Confidence(0.5, calibrated=True, low=0.3), "`low` to be given together"),
        (lambda: bar(Confidence(0.5, calibrated=True), 3), "`width`"),
        (lambda: Phrases(()), "`levels` to be pairs that begin at 0"),
        (lambda: Phrases(((0.1, "x"),)), "`levels` to be pairs that begin at 0"),
        (lambda: Phrases(((0.0, "x"), (0.0, "y"))), "`levels` to be rising"),
        (lambda: Phrases(((0.0, " "),)), "`levels` to be words"),
        (lambda: Phrases(((0.0, 3),)), "`levels` to be a list of strings"),
        (lambda: PHRASES.of(1.5), "`confidence`"),
    ],
)
def test_bad_arguments_are_refused_by_name(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()
