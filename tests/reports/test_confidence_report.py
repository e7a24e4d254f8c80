"""The report on any confidences: the same numbers everywhere, paired differences, files, words."""

import json
import math
import re
from base64 import b64decode
from html.parser import HTMLParser
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from thermometer import metrics
from thermometer.metrics.intervals import PAIRED, bootstrap, paired_differences
from thermometer.metrics.summary import summarise
from thermometer.recalibrators.recommend import recommend
from thermometer.reports.confidence_report import measure
from thermometer.segments.report import segments

NASTY = 'a<b> & "q" | [red]x[/red] *y* `z`'
PICTURES = ["reliability.png", "risk_coverage.png", "smooth_reliability.png"]


@pytest.fixture(scope="module")
def answers():
    """Overconfident answers, the same halfway to 0.5, and a topic."""
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 400)
    correct = (rng.random(400) < confidence - 0.15).astype(int)
    topic = rng.choice([NASTY, "art", "go"], 400)
    return {"before": confidence, "after": (confidence + 0.5) / 2}, correct, {"topic": topic}


@pytest.fixture(scope="module")
def report(answers):
    confidence, correct, by = answers
    return measure(confidence, correct, by=by, title=NASTY, n_resamples=100)


@pytest.fixture(scope="module")
def folder(report, tmp_path_factory):
    return report.write(tmp_path_factory.mktemp("reports") / "new" / "folder")


def printed(report, **options):
    console = Console(width=80, record=True, file=StringIO())
    report.print(console, **options)
    return console.export_text()


def strict(text):
    def refuse(constant):
        raise AssertionError(constant)

    return json.loads(text, parse_constant=refuse)


def test_it_holds_what_the_parts_say(report, answers):
    confidence, correct, by = answers
    for name, claimed in confidence.items():
        one = report.series[name]
        assert one.summary == summarise(claimed, correct, n_resamples=100)
        assert one.segments == segments(claimed, correct, by)
        assert one.diagram.count.sum() == report.n == 400
        assert one.smooth.accuracy == one.summary.accuracy.estimate
        assert one.curve.coverage[-1] == 1
    advice = recommend(confidence=confidence["before"], correct=correct, n_resamples=100)
    assert report.recommendation.to_dict() == advice.to_dict()
    assert report.recommendation.reason in report.verdict


def test_paired_differences_are_those_of_the_bootstrap(answers, report):
    confidence, correct, _ = answers
    before, after = confidence.values()
    statistics = {
        "gap": lambda c, y: abs(metrics.signed_gap(c, y)),
        "ece": lambda c, y: metrics.expected_calibration_error(c, y, 10),
        "nll": metrics.binary_nll,
        "brier": metrics.binary_brier,
    }

    ours = paired_differences(before, after, correct, n_resamples=1500, seed=1)
    assert tuple(ours) == PAIRED
    for key, statistic in statistics.items():
        theirs = bootstrap(
            lambda a, b, y, f=statistic: f(b, y) - f(a, y),
            *(before, after, correct),
            n_resamples=600,
            seed=2,
        )
        assert ours[key].estimate == pytest.approx(theirs.estimate)
        width = theirs.high - theirs.low
        assert ours[key].low == pytest.approx(theirs.low, abs=0.15 * width)
        assert ours[key].high == pytest.approx(theirs.high, abs=0.15 * width)
    default = paired_differences(before, after, correct, n_resamples=100)
    assert report.differences == {"after": default}


def test_the_normal_limit_of_many_rows_is_what_resampling_gives():
    rng = np.random.default_rng(0)
    first = rng.uniform(0.3, 1, 20_000)
    correct = rng.random(20_000) < first**4
    rows = slice(None, -1)
    limit = paired_differences(first, first**4, correct, n_resamples=3000)
    drawn = paired_differences(first[rows], first[rows] ** 4, correct[rows], n_resamples=400)
    for key in PAIRED:
        width = drawn[key].high - drawn[key].low
        assert limit[key].low == pytest.approx(drawn[key].low, abs=0.15 * width)
        assert limit[key].high == pytest.approx(drawn[key].high, abs=0.15 * width)


def test_differences_of_one_row_and_of_a_series_from_itself():
    one = paired_differences([0.9], [0.8], [1])
    assert one["brier"].estimate == pytest.approx(0.03)
    assert math.isnan(one["brier"].low)
    same = paired_differences([0.9, 0.6, 0.7], [0.9, 0.6, 0.7], [1, 0, 1])
    assert all((v.estimate, v.low, v.high) == (0, 0, 0) for v in same.values())
    with pytest.raises(ValueError, match="second"):
        paired_differences([0.9, 0.6], [0.9], [1, 0])


def test_the_words(report, answers):
    confidence, correct, _ = answers
    gap = report.series["before"].summary.gap
    words = report.verdict
    assert words.startswith(f"before: Overconfident by {gap.estimate:.3f} ({gap.low:.3f} to ")
    assert f"400 answers claim {confidence['before'].mean():.3f}" in words
    assert f"{correct.mean():.3f} of them are right" in words
    assert "Against before, after lowers the NLL by" in words
    assert "None of 3 segments differs" in words
    assert words in repr(report)
    calm = measure([0.5] * 100, [1, 0] * 50, n_resamples=20, advise=False)
    assert calm.verdict.startswith("Neither over- nor underconfident")
    assert "no error can be seen" in calm.verdict
    modest = measure([0.5] * 100, [1, 1, 1, 1, 0] * 20, n_resamples=20, advise=False)
    assert modest.verdict.startswith("Underconfident by 0.300 (0.2")


def test_all_files_are_written(folder):
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted([*PICTURES, "report.html", "report.json", "report.md"])
    for name in PICTURES:
        assert (folder / name).read_bytes().startswith(b"\x89PNG\r\n")


def test_json_holds_the_numbers_and_null_for_what_is_undefined(report, folder):
    text = (folder / "report.json").read_text()
    assert text == report.to_json()
    fields = strict(text)
    assert (fields["kind"], fields["format_version"]) == ("confidence", 1)
    assert list(fields["series"]) == ["before", "after"]
    one = fields["series"]["before"]
    assert one["summary"]["nll"]["estimate"] == report.series["before"].summary.nll.estimate
    assert sum(one["diagram"]["count"]) == 400
    assert one["segments"]["segments"][0]["verdict"] == "like the rest"
    assert fields["differences"]["after"]["ece"].keys() == {"estimate", "low", "high"}
    right = measure([0.9] * 3, [1, 1, 1], by={"g": ["a", "b", "c"]}, n_resamples=10)
    fields = strict(right.to_json())
    assert fields["series"]["confidence"]["summary"]["auroc"]["estimate"] is None
    assert fields["series"]["confidence"]["segments"]["segments"][0]["p_value"] is None
    assert fields["recommendation"] is None


class _Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.sources, self.cells, self.stack = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in ("meta", "img"):
            self.stack.append(tag)
        self.sources += [value for key, value in attrs if key in ("src", "href", "srcset")]

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag, "tags must nest"

    def handle_data(self, data):
        if self.stack and self.stack[-1] in ("td", "th"):
            self.cells.append(data)


def test_html_opens_alone_and_escapes_names(report, folder):
    text = (folder / "report.html").read_text(encoding="utf-8")
    page = _Page(text)
    assert not page.stack
    assert not {"script", "link", "iframe", "b"} & set(page.tags)
    assert page.tags.count("figure") == page.tags.count("figcaption") == len(PICTURES)
    assert NASTY in page.cells
    assert not re.search(r"url\(|@import|https?://", text)
    images = [b64decode(source.split(",")[1]) for source in page.sources]
    assert sorted(images) == sorted((folder / name).read_bytes() for name in PICTURES)
    assert f"{report.series['after'].summary.nll.estimate:.3f}" in page.cells


def test_markdown_tables_are_whole_and_names_harmless(folder):
    text = (folder / "report.md").read_text(encoding="utf-8")
    blocks = [b.splitlines()[2:] for b in re.split(r"\n(?=###)", text) if b.startswith("###")]
    assert len(blocks) == 5  # metrics, differences, segments twice, recalibrators
    for lines in blocks:
        rows = [line for line in lines if line.startswith("| ")]
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
    assert r'a&lt;b> & "q" \| \[red\]x\[/red\] \*y\* \`z\`' in text
    assert all(f"]({name})" in text for name in PICTURES)


def test_terminal_needs_eighty_columns(report):
    plain, drawn = printed(report), printed(report, pictures=True)
    for text in (plain, drawn):
        assert max(map(len, text.splitlines())) <= 80
        assert "[red]" in text.replace("\n", "")
    nll = report.series["before"].summary.nll
    assert f"{nll.estimate:.3f} ({nll.low:.3f}\N{EN DASH}{nll.high:.3f})" in plain
    assert "█" not in plain
    assert "its 95 % interval" in drawn
    assert " ".join(report.verdict.split()) in " ".join(plain.split())
    many = measure(
        [0.7] * 900, [1, 0, 1] * 300, by={"g": np.arange(900) % 30 // 1.0}, n_resamples=5
    )
    assert len(many.series["confidence"].segments) == 5  # numbers are cut
    names = [f"v{i % 30}" for i in range(900)]
    many = measure([0.7] * 900, [1, 0, 1] * 300, by={"g": names}, n_resamples=5)
    assert "and 18 more" in printed(many)


def test_few_answers_get_no_advice():
    assert measure([0.9] * 49, [1, 0] * 24 + [1], n_resamples=5).recommendation is None
    assert measure([0.9] * 60, [1] * 60, n_resamples=5).recommendation is None
    assert measure([0.9] * 60, [1, 0] * 30, n_resamples=5, advise=False).recommendation is None


@pytest.mark.parametrize(
    ("confidence", "by", "message"),
    [
        ({}, None, "at least one series"),
        ({"a": [0.5, 0.5], "b": [0.5, 2.0]}, None, r"^b: .*2.0 at row 1"),
        ([0.5, math.nan], None, r"^Expected `confidence`"),
        ([0.5], None, "length"),
        ([0.5, 0.5], {"g": [1]}, r"by\['g'\]"),
    ],
)
def test_mistakes_are_named(confidence, by, message):
    with pytest.raises(ValueError, match=message):
        measure(confidence, [1, 0], by=by, n_resamples=5)
