"""The look: colours told apart by everyone, names that fit, and what holds for every picture."""

import itertools
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thermometer import metrics
from thermometer.plots import drawing
from thermometer.plots.curves import draw_risk_coverage, draw_temperatures
from thermometer.plots.reliability import (
    draw_reliability,
    draw_smooth_reliability,
    prepare_reliability,
    prepare_smooth_reliability,
)

# Colours as a dichromat sees them: Machado, Oliveira and Fernandes (2009), table 1, severity 1.
EYES = {
    "all cones": np.eye(3),
    "no long": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "no middle": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "no short": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TO_XYZ = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
NAMES = [
    "high_school_european_history",
    "law",
    "a name of many words / and of parts, " * 3,
    "x" * 80,
]


def linear(colour):
    value = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    x, y, z = np.cbrt(np.array(TO_XYZ) @ np.clip(rgb, 0, 1) / [0.9505, 1, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def contrast(colour, ground):
    """Ratio of luminances by the Web Content Accessibility Guidelines 2.2."""
    dark, light = sorted(linear(c) @ TO_XYZ[1] for c in (colour, ground))
    return (light + 0.05) / (dark + 0.05)


def outcomes(seed, n=150):
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0.25, 1, n)
    return confidence, rng.random(n) < confidence + rng.uniform(-0.3, 0.2)


def several(kind, n, theme, title="Large language models on many tasks"):
    """A picture of one kind with `n` tasks, or with up to `n` panels or curves."""
    names = [*NAMES, *(f"task {i}" for i in range(n))][:n]
    look = {"theme": theme, "title": title}
    if kind == "temperatures":
        best = {name: 1.0 + i % 7 / 5 + i / 40 for i, name in enumerate(names[::-1])}
        return draw_temperatures({k: 1.1 * v for k, v in best.items()}, best, pooled=1.4, **look)
    few = {name: outcomes(i) for i, name in enumerate(names[:4])}
    if kind == "reliability":
        return draw_reliability({k: prepare_reliability(*v) for k, v in few.items()}, **look)
    if kind == "smooth reliability":
        diagrams = {k: prepare_smooth_reliability(*v, n_resamples=20) for k, v in few.items()}
        return draw_smooth_reliability(diagrams, **look)
    curves = {name: metrics.risk_coverage(*rows) for name, rows in few.items()}
    areas = {name: metrics.aurc(*rows) for name, rows in few.items()}
    return draw_risk_coverage(curves, aurc=areas, **look)


KINDS = [
    "temperatures",
    "reliability",
    "smooth reliability",
    "risk and coverage",
]


def shown_texts(figure):
    """All texts that are drawn: not the labels of ticks beyond the ends of an axis."""
    beyond = set()
    for axis in figure.axes:
        for labels, (low, high), way in (
            (axis.get_xticklabels(), axis.get_xlim(), 0),
            (axis.get_yticklabels(), sorted(axis.get_ylim()), 1),
        ):
            beyond.update(t for t in labels if not low <= t.get_position()[way] <= high + 1e-9)
    for text in figure.findobj(mpl.text.Text):
        if text.get_text() and text.get_visible() and text not in beyond:
            yield text


@pytest.mark.parametrize("theme", drawing.THEMES)
def test_colours_stand_out_and_are_told_apart_by_all_eyes(theme):
    colours = drawing.theme_named(theme)
    for text in (colours.ink, colours.quiet):
        assert contrast(text, colours.ground) >= 4.5
    for accent in (colours.single, *colours.accents[:4]):
        assert contrast(accent, colours.ground) >= 3
    assert 1.1 < contrast(colours.faint, colours.ground) < 1.6
    for eye in EYES.values():
        seen = [lab(np.array(eye) @ linear(accent)) for accent in colours.accents]
        assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 15


@given(st.text(max_size=60), st.integers(3, 40))
def test_shortened_names_keep_both_ends(text, length):
    short = drawing.shorten(text, length)
    assert len(short) == min(len(text), length)
    if len(text) > length:
        head, tail = short.split("…")[0], short.rsplit("…", 1)[1]
        assert text.startswith(head)
        assert text.endswith(tail)


@given(st.floats(1e-4, 1e4), st.floats(1.6, 1e6))
def test_ticks_lie_on_the_axis_and_are_few(low, ratio):
    ticks = drawing.log_ticks(low, low * ratio)
    assert 1 <= len(ticks) <= 9
    assert all(low <= tick <= low * ratio for tick in ticks)
    assert sorted(ticks) == ticks


@pytest.mark.parametrize("name", NAMES)
def test_fitted_names_are_no_wider_than_allowed(name):
    figure = drawing.figure(4, 4, None, drawing.theme_named("light"))
    assert drawing.width_of(figure, drawing.fitted(figure, name, 1.5, 11), 11) <= 1.5
    assert not figure.texts
    assert drawing.fitted(figure, "law", 1.5, 11) == "law"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [2, 60])
def test_no_text_leaves_the_picture_or_covers_a_title(kind, n):
    figure = several(kind, n, "light", title="Many tasks")
    figure.draw_without_rendering()
    frame = figure.bbox
    for text in shown_texts(figure):
        box = text.get_window_extent()
        assert box.x0 >= -1, text
        assert box.y0 >= -1, text
        assert box.x1 <= frame.x1 + 1, text
        assert box.y1 <= frame.y1 + 1, text
    named = [axis.title for axis in figure.axes if axis.get_title()]
    titles = [*named, *(text for text in figure.texts if text.get_text() == "Many tasks")]
    boxes = [text.get_window_extent() for text in titles]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


@pytest.mark.parametrize("kind", KINDS)
def test_themes_draw_their_ground_and_the_same_data(kind):
    figures = {theme: several(kind, 3, theme) for theme in drawing.THEMES}
    for theme, figure in figures.items():
        colours = drawing.theme_named(theme)
        for patch in (figure.patch, *(axis.patch for axis in figure.axes)):
            assert mpl.colors.to_hex(patch.get_facecolor()).upper() == colours.ground
            assert patch.get_alpha() in (None, 1)
        for text in shown_texts(figure):
            assert contrast(mpl.colors.to_hex(text.get_color()), colours.ground) >= 3, text
    light, dark = ([t.get_text() for t in shown_texts(f)] for f in figures.values())
    assert light == dark
    for one, other in zip(*(figure.axes for figure in figures.values()), strict=True):
        assert one.get_xlim() == other.get_xlim()
        for a, b in zip(one.lines, other.lines, strict=True):
            np.testing.assert_array_equal(a.get_xydata(), b.get_xydata())


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_are_the_same_byte_for_byte_and_change_no_setting(kind, tmp_path):
    before = dict(mpl.rcParams)
    for name in ("a", "b"):
        several(kind, 2, "dark").savefig(tmp_path / f"{name}.png", dpi=50)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("kind", KINDS)
def test_dollars_are_no_mathematics(kind, monkeypatch):
    monkeypatch.setitem(globals(), "NAMES", [r"from $5 to \$10", r"$\nonsense{$"])
    figure = several(kind, 2, "light", title=r"$\nonsense{$")
    figure.draw_without_rendering()  # raises where nonsense is read as mathematics
    shown = [text.get_text() for text in shown_texts(figure)]
    assert sum("nonsense" in text for text in shown) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_theme_is_refused_with_the_known_ones(kind):
    with pytest.raises(ValueError, match="`theme` to be one of 'dark', 'light', but got 'sepia'"):
        several(kind, 2, "sepia")


def test_drawing_needs_no_pyplot_and_numbers_no_matplotlib():
    code = (
        "import sys\n"
        "from thermometer.plots import curves, reliability as s, terminal\n"
        "diagram = s.prepare_smooth_reliability([0.5, 0.7], [1, 0])\n"
        "assert 'matplotlib' not in sys.modules\n"
        "s.draw_smooth_reliability(diagram)\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
