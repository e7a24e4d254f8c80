"""The number in a reply: which one counts, what it means, and when there is none."""

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from thermometer.signals import read_confidence

# Reply, meant on a scale of percent, meant on a scale of units.
REPLIES = [
    ("90", 0.9, None),
    ("90%", 0.9, 0.9),
    ("90 %.", 0.9, 0.9),
    ("90/100", 0.9, 0.9),
    ("9 out of 10", 0.9, 0.9),
    ("I am 90 percent sure.", 0.9, 0.9),
    ("90 per cent", 0.9, 0.9),
    ("0.9 %", 0.009, 0.009),
    ("0.9", None, 0.9),
    ("about 0.8", None, 0.8),
    (".75", None, 0.75),
    ("1", 0.01, 1.0),
    ("1.0", None, 1.0),
    ("0", 0.0, 0.0),
    ("0.0", 0.0, 0.0),
    ("100", 1.0, None),
    ("95.5", 0.955, None),
    ("87,5 %", 0.875, 0.875),
    ("0,8", None, 0.8),
    ("0,875", None, 0.875),
    ("1,000", None, None),
    ("between 60 and 70", 0.65, None),
    ("between 60% and 70%", 0.65, 0.65),
    ("60-70 %", 0.65, 0.65),
    ("60\N{EN DASH}70 %", 0.65, 0.65),
    ("60% to 70%", 0.65, 0.65),
    ("0.6 to 0.8", None, 0.7),
    ("70-60", None, None),
    ("3 and 4", None, None),
    ("120", None, None),
    ("-5 %", None, None),
    ("\N{MINUS SIGN}20", None, None),
    ("Confidence: 85", 0.85, None),
    ("Confidence (0-100): 85", 0.85, None),
    ("Confidence, on a scale from 0 to 1: 0.85", None, 0.85),
    ("**Confidence:** 0.85", None, 0.85),
    ("My confidence is around\n75", 0.75, None),
    ("Confidence: 70. On reflection, confidence: 80", 0.8, None),
    ("Confidence: high. It was founded in 1969.", None, None),
    ("In 1969, so I am 90% sure", 0.9, 0.9),
    ("Not 90% but 70%", 0.7, 0.7),
    ("Confidence: 60, although 95% of people know it", 0.6, None),
    ("50/50", None, None),
    ("1/3", None, None),
    ("GPT-4", None, None),
    ("the 90th", None, None),
    ("1e-3", None, None),
    ("12.5.3", None, None),
    ("9" * 400, None, None),
    ("\N{FULLWIDTH DIGIT NINE}\N{FULLWIDTH DIGIT ZERO}\N{FULLWIDTH PERCENT SIGN}", 0.9, 0.9),
    ("nan", None, None),
    ("inf", None, None),
    ("certainly", None, None),
    ("", None, None),
]


@pytest.mark.parametrize(("reply", "percent", "unit"), REPLIES)
def test_what_a_reply_says(reply, percent, unit):
    assert read_confidence(reply, "percent") == (percent and pytest.approx(percent))
    assert read_confidence(reply, "unit") == (unit and pytest.approx(unit))


@given(st.integers(0, 1000), st.sampled_from(["{}%", "Confidence: {} %", "I say {} percent!"]))
def test_a_percentage_is_read_on_either_scale(tenths, frame):
    text = frame.format(tenths / 10)
    for scale in ("percent", "unit"):
        assert read_confidence(text, scale) == pytest.approx(tenths / 1000)


@given(st.integers(0, 1000))
def test_a_number_is_never_moved_from_one_scale_to_the_other(thousandths):
    value = thousandths / 1000
    assert read_confidence(f"{value}", "unit") == value
    assert read_confidence(f"{value}", "percent") in (None, 0.0)
    if value * 100 > 1:
        assert read_confidence(f"{value * 100:.1f}", "unit") is None
        assert read_confidence(f"{value * 100:.1f}", "percent") == pytest.approx(value)


@given(st.text(alphabet="0123456789 .,%/-+confidencebetwandouf:\n", max_size=60))
@example("between 1 and ")
def test_any_text_gives_a_probability_or_nothing(text):
    for scale in ("percent", "unit"):
        value = read_confidence(text, scale)
        assert value is None or 0 <= value <= 1


@pytest.mark.parametrize(
    "piece", ["1,", " ", "9", "confidence ", "confidence 1 ", "between 1 and ", "1-", "1 / "]
)
def test_the_time_grows_with_the_text_and_not_faster(piece):
    def seconds(n):
        start = time.process_time()
        read_confidence(piece * n, "percent")
        return time.process_time() - start

    short = min(seconds(2000) for _ in range(5))
    assert min(seconds(32_000) for _ in range(2)) < 80 * (short + 0.001)  # a square would be 256


def test_the_scale_is_declared():
    with pytest.raises(ValueError, match="`scale` to be one of 'percent', 'unit'"):
        read_confidence("90", "guess")
