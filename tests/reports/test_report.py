"""Reports: the same numbers in every format, safe texts, files that open alone."""

import json
import re
from base64 import b64decode
from dataclasses import replace
from html.parser import HTMLParser
from io import StringIO

import numpy as np
import pytest
from rich.console import Console
from synthetic import TEMPERATURES, make_fit, make_table

from thermometer.evaluation import cross_validate, evaluate
from thermometer.metrics.intervals import Interval
from thermometer.reports import render
from thermometer.reports.report import Report

DASH, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
NASTY = 'a<b> & "q" | [red]x[/red] *y* `z`'


@pytest.fixture(scope="module")
def report():
    temperatures = dict(zip([NASTY, *list(TEMPERATURES)[1:]], TEMPERATURES.values(), strict=True))
    table = make_table(temperatures=temperatures)
    return cross_validate(table, make_fit(), n_resamples=50, progress=False)


@pytest.fixture(scope="module")
def folder(report, tmp_path_factory):
    return report.write(tmp_path_factory.mktemp("reports") / "new" / "folder")


def printed(report, width=80):
    console = Console(width=width, record=True, file=StringIO())
    report.print(console)
    return console.export_text()


def strict(text):
    def refuse(constant):
        raise AssertionError(constant)

    return json.loads(text, parse_constant=refuse)


def test_all_files_are_written(folder):
    assert sorted(path.name for path in folder.iterdir()) == [
        *("reliability.png", "report.html", "report.json", "report.md", "temperatures.png")
    ]
    for name in ("reliability.png", "temperatures.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG\r\n")


def test_json_goes_round(report, folder):
    text = (folder / "report.json").read_text()
    again = Report.from_json(text)
    assert again.to_json() == text == report.to_json()
    assert again.verdict == report.verdict
    assert again.tasks == report.tasks
    assert again.differences == report.differences
    assert again.pictures() == report.pictures()  # the same bytes, too


def test_segments_of_the_thermometers_confidence_are_there(report, folder):
    found = report.segments
    assert {segment.column for segment in found} >= {"task", "options"}
    assert sum(s.n for s in found if s.column == "options") == 720
    text = (folder / "report.md").read_text(encoding="utf-8")
    worst = found.segments[0]
    assert f"| {worst.n} | {worst.accuracy:.3f} | {worst.confidence:.3f} |" in text
    assert "Segments of the thermometer" in (folder / "report.html").read_text(encoding="utf-8")


def test_segments_follow_their_questions(report):
    """Rows come back sorted by fold: a column must move with them."""
    table = make_table()
    by = {"half": ["low" if t < "task 06" else "high" for t in table.tasks]}
    found = cross_validate(table, make_fit(), n_resamples=20, progress=False, by=by).segments
    right = table.scores.argmax(axis=1) == table.labels
    for segment in found:
        rows = np.array([half == segment.value for half in by["half"]])
        assert segment.accuracy == pytest.approx(right[rows].mean())
    with pytest.raises(ValueError, match=r"`by\['x'\]` to be of length 720, but got 1"):
        cross_validate(table, make_fit(), n_resamples=20, progress=False, by={"x": [1]})


def test_json_keys(report):
    fields = strict(report.to_json())
    assert fields["format_version"] == 1
    assert list(fields["methods"]) == [
        *("uncalibrated", "pooled", "thermometer", "thermometer_task", "oracle")
    ]
    method = fields["methods"]["thermometer"]
    assert method["mean_over_tasks"]["nll"].keys() == {"estimate", "low", "high"}
    assert method["floor"]["all_rows"].keys() == {"ece_10", "ece_15"}
    assert len(method["diagram"]["count"]) == 10
    assert sum(method["diagram"]["count"]) == 720
    assert len(fields["tasks"]) == 12
    assert fields["tasks"][0]["metrics"]["pooled"].keys() >= {"nll", "ece_10", "ece_15"}


def test_undefined_numbers_are_null(report):
    nan = float("nan")
    methods = {**report.methods}
    numbers = {**methods["pooled"].mean_over_tasks, "nll": Interval(1.0, nan, nan)}
    methods["pooled"] = replace(methods["pooled"], mean_over_tasks=numbers)
    changed = replace(report, methods=methods)
    fields = strict(changed.to_json())
    assert fields["methods"]["pooled"]["mean_over_tasks"]["nll"] == {
        "estimate": 1.0,
        "low": None,
        "high": None,
    }
    assert Report.from_json(changed.to_json()).to_json() == changed.to_json()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda fields: fields.update(format_version=2), "format 2"),
        (lambda fields: fields.pop("format_version"), "format None"),
        (lambda fields: fields.pop("tasks"), "with tasks"),
        (lambda fields: fields["tasks"][0]["metrics"]["pooled"].pop("nll"), "pooled"),
        (lambda fields: fields["methods"].pop("oracle"), "oracle"),
        (lambda fields: fields["tasks"][0].update(fold="1"), r"tasks.0..fold"),
        (lambda fields: fields.update(tasks={}), "tasks. to be a list"),
        (lambda fields: fields.update(surprise=1), "surprise"),
        (lambda fields: fields["tasks"][0].pop("fold"), "fold"),
        (lambda fields: fields["methods"]["pooled"]["diagram"].pop("ece"), "ece"),
        (
            lambda fields: fields["methods"]["pooled"]["diagram"].update(
                bin_confidence=[None] * 10
            ),
            "bin_confidence. to be finite",
        ),
        (
            lambda fields: fields["differences"][0].update(baseline="con"),
            "differences.*uncalibrated",
        ),
        (lambda fields: fields["differences"].pop(1), "differences.*pooled"),
        (lambda fields: fields["differences"][2].update(baseline="con"), "differences.*con"),
        (lambda fields: fields["differences"][0]["n_better"].pop("ece_10"), "n_better.*ece_10"),
        (lambda fields: fields["protocol"].pop("description"), "protocol.*description"),
        (lambda fields: fields.update(created=["[" * 9999]), r"created.*… \(10,00. characters\)"),
    ],
)
def test_other_files_are_refused(report, change, message):
    fields = json.loads(report.to_json())
    change(fields)
    with pytest.raises(ValueError, match=message):
        Report.from_json(json.dumps(fields))
    with pytest.raises(ValueError, match=r"Expect|not JSON"):
        Report.from_json("[]" if message != "fold" else "{")


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
        self.sources += [
            value for key, value in attrs if key in ("src", "href", "srcset", "action")
        ]

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag, "tags must nest"

    def handle_data(self, data):
        if self.stack and self.stack[-1] in ("td", "th"):
            self.cells.append(data)


def test_html_opens_alone_and_escapes_names(report, folder):
    text = (folder / "report.html").read_text(encoding="utf-8")
    page = _Page(text)
    assert not page.stack
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert "b" not in page.tags[page.tags.index("table") :]  # the task's name made no tag
    assert NASTY in page.cells
    assert not re.search(r"url\(|@import|https?://", text)
    assert "prefers-color-scheme: dark" in text
    assert len(page.sources) == 2
    for source, name in zip(page.sources, ("reliability.png", "temperatures.png"), strict=True):
        kind, data = source.split(",")
        assert kind == "data:image/png;base64"
        assert b64decode(data) == (folder / name).read_bytes()
    nll = report.methods["thermometer"].mean_over_tasks["nll"]
    assert f"{nll.estimate:.3f}" in page.cells


def test_markdown_tables_are_whole_and_names_harmless(report, folder):
    text = (folder / "report.md").read_text(encoding="utf-8")
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("| ")]
    assert len(blocks) == 6
    for lines in blocks:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
    assert r'a&lt;b> & "q" \| \[red\]x\[/red\] \*y\* \`z\`' in text
    for key in ("nll", "ece_10", "smooth_ece"):
        value = report.methods["thermometer"].mean_over_tasks[key]
        assert f"{value.estimate:.3f}" in text
        assert f"<sub>{value.low:.3f}{DASH}{value.high:.3f}</sub>" in text
    for sentence in ("5 folds of whole tasks", "torch", "synthetic"):
        assert sentence in text


def test_terminal_needs_eighty_columns_and_cuts_nothing(report):
    text = printed(report)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    for name in ("uncalibrated", "pooled temperature", "oracle (uses", "floor", "720 questions"):
        assert name in text
    for key in ("nll", "brier", "ece_10", "smooth_ece"):
        value = report.methods["thermometer"].mean_over_tasks[key]
        assert f"{value.estimate:.3f}" in text
        assert f"{value.low:.3f}{DASH}{value.high:.3f}" in text
    floor = report.methods["thermometer"].floor["mean_over_tasks"]["ece_10"]
    assert re.search(rf"floor +{floor:.3f}\n", re.sub(" +\n", "\n", text))
    assert "its 95 % interval" not in text
    console = Console(width=80, record=True, file=StringIO())
    report.print(console, pictures=True)
    assert console.export_text().count("its 95 % interval") == 3


def test_the_words_have_the_numbers(report):
    uncalibrated, ours = (
        report.methods[n].mean_over_tasks for n in ("uncalibrated", "thermometer")
    )
    assert report.verdict.startswith("On 12 unseen tasks (720 questions) the mean task ECE")
    before, after = (f"{m['nll'].estimate:.3f}" for m in (uncalibrated, ours))
    assert f"the NLL falls from {before} to {after}" in report.verdict
    change = report.difference("thermometer", "uncalibrated").mean_over_tasks["nll"]
    said = f"({change.estimate:.3f}, between {change.low:.3f} and {change.high:.3f})"
    assert said.replace("-", MINUS) in report.verdict
    assert f"it closes {100 * ours['gap_closed'].estimate:.0f} %" in report.verdict
    assert f"accuracy is {uncalibrated['accuracy'].estimate:.3f}" in report.verdict
    assert report.verdict in repr(report)
    one_line = " ".join(printed(report).split())
    assert " ".join(report.verdict.split()) in one_line


def test_a_difference_within_chance_is_called_so(report):
    differences = tuple(
        replace(d, mean_over_tasks={**d.mean_over_tasks, "nll": Interval(-0.01, -0.03, 0.01)})
        for d in report.differences
    )
    verdict = replace(report, differences=differences).verdict
    assert verdict.count("the NLL falls within chance from") == 2
    assert f"({MINUS}0.010, between {MINUS}0.030 and +0.010)" in verdict


def test_seen_tasks_are_marked_everywhere(tmp_path):
    table = make_table(n=20)
    report = evaluate(table, make_fit()(table), allow_seen=True, n_resamples=20)
    folder = report.write(tmp_path)
    for name in ("report.md", "report.html"):
        text = (folder / name).read_text()
        assert "(seen in training)" in text
        assert "Calibration on unseen tasks" not in text
        assert "No test on unseen tasks" in text
    assert "No test on unseen tasks" in printed(report)


def test_one_task_can_be_reported(tmp_path):
    table = make_table(n=20, temperatures={"a": 1.0, "b": 2.0})
    calibrator = make_fit()(table.of_tasks(["a"]))
    report = evaluate(table.of_tasks(["b"]), calibrator, n_resamples=20)
    report.write(tmp_path)
    assert "nan" not in printed(report)
    assert "nan" not in (tmp_path / "report.md").read_text()


def of_methods(report, *names):
    """The report with these methods only; a recalibrator has the numbers of `pooled`."""
    source = {name: "pooled" if name == "platt" else name for name in names}
    pooled = report.difference("thermometer", "uncalibrated")
    return replace(
        report,
        methods={name: report.methods[source[name]] for name in names},
        differences=tuple(
            found for found in report.differences if {found.method, found.baseline} <= set(names)
        )
        + tuple(replace(pooled, method=n, baseline="pooled") for n in names if n == "platt"),
        tasks=tuple(
            replace(task, metrics={name: task.metrics[source[name]] for name in names})
            for task in report.tasks
        ),
    )


def test_recalibrators_stand_beside_the_thermometer(report):
    more = of_methods(report, *report.methods, "platt")
    assert more.verdict.startswith(report.verdict.rpartition("The accuracy")[0])
    lowest = report.methods["thermometer"].mean_over_tasks["nll"].estimate
    assert f"Of all methods thermometer has the lowest NLL: {lowest:.3f}." in more.verdict
    again = Report.from_json(more.to_json())
    assert again.verdict == more.verdict
    text = render.to_markdown(again.document())
    difference = f"Platt {MINUS} pooled temperature"
    for words in (difference, "- **Platt**: a sigmoid", "NLL Platt", "ECE Platt"):
        assert words in text
    assert "Platt" in printed(more)


def test_a_report_needs_no_thermometer(report):
    without = of_methods(report, "uncalibrated", "pooled", "platt", "oracle")
    numbers = report.methods["pooled"].mean_over_tasks
    kind = "On 12 unseen tasks (720 questions) with the pooled temperature, the mean task ECE"
    assert without.verdict.startswith(kind)
    assert f"to {numbers['nll'].estimate:.3f} (" in without.verdict
    again = Report.from_json(without.to_json())
    text = render.to_markdown(again.document())
    assert "## Temperatures" not in text
    assert "| thermometer" not in text
    assert list(again.pictures()) == ["reliability.png"]
    assert "nan" not in text


def test_a_method_that_changes_answers_is_said_to_have_another_accuracy(report):
    pooled = report.methods["pooled"].mean_over_tasks
    other = {**pooled, "accuracy": Interval(0.5, 0.4, 0.6)}
    batch = replace(report.methods["pooled"], mean_over_tasks=other)
    said = f"accuracy is {pooled['accuracy'].estimate:.3f} with every method but batch calibration"
    more = replace(of_methods(report, *report.methods), methods={**report.methods, "batch": batch})
    assert more.verdict.endswith(f"{said} (0.500).")
