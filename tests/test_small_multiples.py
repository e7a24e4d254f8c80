"""Small multiples: every task in its panel, in order, in the colour of its gap."""

import matplotlib as mpl
import numpy as np
import pytest

from thermometer.pictures import drawing
from thermometer.pictures.reliability import prepare_reliability
from thermometer.pictures.small_multiples import draw_small_multiples


def diagram(gap, n=80):
    """Confidences around 0.6 whose mean exceeds the accuracy by `gap`."""
    confidence = np.linspace(0.4, 0.8, n)
    return prepare_reliability(confidence, np.arange(n) < round((0.6 - gap) * n), 10)


@pytest.fixture
def diagrams():
    return {"law": diagram(0.1), "maths": diagram(-0.2), "history": diagram(0.3), "art": diagram(0)}


def test_tasks_stand_in_the_order_of_their_gap_or_as_given(diagrams):
    figure = draw_small_multiples(diagrams)
    assert [axis.get_title() for axis in figure.axes] == ["history", "law", "art", "maths"]
    notes = [axis.texts[0].get_text() for axis in figure.axes]
    assert notes == ["+0.30", "+0.10", "0.00", "\N{MINUS SIGN}0.20"]
    given = draw_small_multiples(diagrams, order="given")
    assert [axis.get_title() for axis in given.axes] == list(diagrams)
    with pytest.raises(ValueError, match="`order` to be one of 'gap', 'given'"):
        draw_small_multiples(diagrams, order="name")


@pytest.mark.parametrize("theme", drawing.THEMES)
def test_panels_hold_the_bins_in_the_colour_that_the_key_names(diagrams, theme):
    figure = draw_small_multiples(diagrams, order="given", theme=theme)
    (key,) = figure.legends
    names = [text.get_text() for text in key.get_texts()]
    colours = {
        name: mpl.colors.to_hex(line.get_color())
        for name, line in zip(names, key.get_lines(), strict=True)
    }
    for axis, (name, numbers) in zip(figure.axes, diagrams.items(), strict=True):
        points = axis.collections[-1]
        kept = numbers.count > 0
        expected = np.c_[numbers.bin_confidence, numbers.bin_accuracy][kept]
        np.testing.assert_allclose(points.get_offsets(), expected)
        verdict = "underconfident" if name == "maths" else "overconfident"
        if name != "art":
            assert mpl.colors.to_hex(points.get_facecolor()[0]) == colours[verdict]
        assert axis.get_xlim() == axis.get_ylim() == (0, 1)


@pytest.mark.parametrize("n", [1, 2, 5, 7, 60])
def test_panels_are_square_apart_and_inside(n):
    figure = draw_small_multiples({f"task {i}": diagram(0.1, 20) for i in range(n)})
    boxes = [axis.get_window_extent() for axis in figure.axes]
    assert len(boxes) == n
    for i, box in enumerate(boxes):
        assert box.width == pytest.approx(box.height)
        assert not any(box.overlaps(other) for other in boxes[:i])
        assert figure.bbox.contains(box.x0, box.y0)
        assert figure.bbox.contains(box.x1, box.y1)
    lowest = [axis.xaxis.get_major_ticks()[0].label1.get_visible() for axis in figure.axes]
    assert lowest == [i + min(n, 5) >= n for i in range(n)]


def test_long_names_are_broken_before_they_are_cut():
    names = ["high_school_european_history", "high_school_government_and_politics", "law"]
    names += [f"task {i}" for i in range(3)]
    figure = draw_small_multiples({name: diagram(0.1) for name in names})
    titles = [axis.get_title() for axis in figure.axes]
    assert titles[0] == "high_school_\neuropean_history"
    first, second = titles[1].split("\n")
    assert first == "high_school_"
    assert second.startswith("gov")
    assert second.endswith("politics")
    assert titles[2] == "law"


def test_no_diagram_is_refused():
    with pytest.raises(ValueError, match="at least one diagram"):
        draw_small_multiples({})
