"""Text pictures: bars as long as their numbers, no line too wide, ASCII on demand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thermometer.plots.reliability import prepare_reliability
from thermometer.plots.terminal import text_bars, text_reliability

outcomes = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40)
numbers = st.floats(-1e3, 1e3) | st.just(float("nan"))
rows = st.lists(st.tuples(st.text(max_size=50), numbers, numbers, numbers), max_size=8)
NAN = float("nan")


@given(outcomes, st.integers(50, 120), st.integers(1, 20), st.booleans())
@settings(deadline=None)
def test_a_line_for_each_bin_none_too_wide(data, width, n_bins, plain):
    diagram = prepare_reliability(*zip(*data, strict=True), n_bins)
    text = text_reliability(diagram, width, ascii=plain)
    lines = text.split("\n")
    assert len(lines) == (diagram.count > 0).sum() + 4
    assert max(map(len, lines)) <= width
    assert text.isascii() or not plain
    assert lines[-1].endswith(f"n = {len(data)}")


def test_bars_and_marks_are_where_the_numbers_say():
    confidence = np.r_[np.full(500, 0.25), np.full(500, 0.95)]
    correct = np.r_[np.arange(500) < 250, np.arange(500) < 300]
    diagram = prepare_reliability(confidence, correct, 2)
    lines = text_reliability(diagram, 122, ascii=True).split("\n")
    cells = 122 - 12 - 3 - 7  # = 100: one for each hundredth
    for line, bin_ in zip(lines[1:3], range(2), strict=True):
        bar = line[17 : 17 + cells]
        assert line[17 + cells :].strip() == f"{diagram.bin_accuracy[bin_]:.2f}"
        assert bar.index("o") == int(diagram.bin_confidence[bin_] * 100)
        bar = bar.replace("o", "#" if bin_ == 0 else " ")
        assert bar.count("#") == pytest.approx(diagram.bin_low[bin_] * 100, abs=1)
        assert bar.count("#=") == bar.count("=-") == 1
        assert bar.index("-") == pytest.approx(diagram.bin_accuracy[bin_] * 100, abs=1)
        assert len(bar.rstrip()) == pytest.approx(diagram.bin_high[bin_] * 100, abs=1)
    assert f"ECE {diagram.ece:.3f}, smooth ECE {diagram.smooth_ece:.3f}, n = 1,000" in lines[-1]


@given(rows, st.integers(50, 100), st.booleans())
@settings(deadline=None)
def test_bars_are_one_line_each_and_no_wider_than_asked(data, width, plain):
    text = text_bars(data, width, ascii=plain)
    assert len(text.split("\n")) == max(len(data), 1)
    assert all(len(line) <= width for line in text.split("\n"))
    assert all(character.isprintable() or character == "\n" for character in text)
    assert text.isascii() or not plain


def test_lengths_are_in_proportion_and_negative_ones_go_left():
    data = [("a", 1.0, NAN, NAN), ("b", 0.5, NAN, NAN), ("c", -0.5, NAN, NAN), ("d", NAN, NAN, NAN)]
    a, b, c, d = text_bars(data, 80, ascii=True).split("\n")
    zero = a.index("|")
    assert {line.index("|") for line in (a, b, c, d)} == {zero}
    whole = a.count("#")
    assert whole > 40
    assert b.count("#") == pytest.approx(whole / 2, abs=1)
    assert c.count("#") == pytest.approx(whole / 2, abs=1)
    assert a.index("#") == zero + 1
    assert c.rindex("#") == zero - 1
    assert "#" not in d
    assert a.endswith(" 1.000")
    assert d.endswith("|")
    assert "|" not in text_bars(data[:2], 80, ascii=True)


def test_intervals_are_shaded_also_across_zero():
    (line,) = text_bars([("law", 0.2, -0.1, 0.5)], 90, ascii=True).split("\n")
    assert line.endswith(" 0.200 (-0.100 to 0.500)")
    left, right = line.split("|")
    assert left.count("-") == pytest.approx(right.count("=") / 2, abs=1)
    assert right.rstrip().index("-") == right.count("=")
    assert "#" not in line


def test_blocks_are_used_unless_told_otherwise():
    diagram = prepare_reliability([0.9, 0.8, 0.9], [1, 0, 1], 5)
    assert {"▓", "░", "◆"} <= set(text_reliability(diagram))
    assert "█" in text_bars([("a", 1.0, NAN, NAN)])
    assert "…" in text_bars([("a" * 90, 1.0, NAN, NAN)])


def test_bad_arguments_are_refused():
    diagram = prepare_reliability([0.9], [1])
    with pytest.raises(ValueError, match="`width` to be an integer of at least 50, but got 49"):
        text_reliability(diagram, 49)
    with pytest.raises(ValueError, match="`width`"):
        text_bars([], 20)
    with pytest.raises(ValueError, match="`rows` to be of finite numbers or NaN"):
        text_bars([("a", np.inf, NAN, NAN)])
    assert text_bars([]) == ""
