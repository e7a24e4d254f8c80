"""Reading answers from files and folders, and the `measure` command on all of them."""

import gzip
import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from synthetic import make_fit, make_table

from thermometer import cli, table_files
from thermometer.adapters.files import read_answers
from thermometer.evaluation import cross_validate
from thermometer.reports.confidence_report import measure
from thermometer.segments.columns import question_columns, read_questions, top_answers
from thermometer.tables import OutputTable

ROWS = 60
COLUMNS = {
    "p": [round(0.5 + i / 150, 4) for i in range(ROWS)],
    "q": [round(0.4 + i / 150, 4) for i in range(ROWS)],
    "ok": [i % 3 != 0 for i in range(ROWS)],
    "topic": ["law" if i < 30 else "art" for i in range(ROWS)],
    "a": [i / 10 for i in range(ROWS)],
    "b": [1.0] * ROWS,
    "gold": [i % 2 for i in range(ROWS)],
}


def lines(columns):
    return "".join(
        json.dumps(dict(zip(columns, row, strict=True))) + "\n"
        for row in zip(*columns.values(), strict=True)
    )


def csv(columns):
    rows = [",".join(columns)]
    for row in zip(*columns.values(), strict=True):
        rows.append(",".join("" if value is None else str(value) for value in row))
    return "\n".join(rows) + "\n"


@pytest.fixture
def file(tmp_path):
    """Writes columns as a file of a kind."""

    def write(kind, columns=COLUMNS):
        path = tmp_path / f"answers{kind}"
        if kind == ".parquet":
            pq.write_table(pa.table(columns), path)
        else:
            text = csv(columns) if ".csv" in kind else lines(columns)
            data = text.encode()
            path.write_bytes(gzip.compress(data) if kind.endswith(".gz") else data)
        return path

    return write


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished output table whose questions have topics."""
    path = tmp_path_factory.mktemp("tables") / "table"
    path.mkdir()
    rng = np.random.default_rng(0)
    rows = [
        {
            "id": f"q{i}",
            "task": f"{'arc' if i % 2 else 'mmlu'}/{i % 4}",
            "question": "word\u2028" * (1 + i % 30),  # which str.splitlines would break
            "choices": ["yes", "no", "both"][: 2 + i % 2],
            "answer": int(rng.integers(2)),
            "topic": "law" if i < 60 else "art",
            "context": "two words" if i < 60 else "",
        }
        for i in range(120)
    ]
    digest = table_files.write_questions(path, rows)
    columns = {
        "id": [row["id"] for row in rows],
        "task": [row["task"] for row in rows],
        "label": [row["answer"] for row in rows],
        "scores": [rng.normal(size=len(row["choices"])).tolist() for row in rows],
        "option_mass": [1.0] * 120,
        "n_prompt_tokens": [5] * 120,
    }
    table_files.write_part(path / "part-0.parquet", columns)
    made = {"features": None, "scores": {"model": "m"}}
    table_files.finish(path, {"part-0.parquet": 120}, made, digest)
    return path


def run(capsys, *arguments):
    capsys.readouterr()
    cli.main(["measure", *map(str, arguments), "--n_resamples", "20"])
    return capsys.readouterr().out


def failure(capsys, *arguments):
    """The one line that the command ends with."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        cli.main(["measure", *map(str, arguments)])
    line = ended.value.code
    assert isinstance(line, str)
    assert line.startswith("thermometer: error: ")
    assert "\n" not in line
    assert capsys.readouterr().out == ""
    return line


@pytest.mark.parametrize("kind", [".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".ndjson", ".parquet"])
def test_every_kind_of_file_says_the_same(file, kind):
    answers = read_answers(file(kind), confidence=["p", "q"], correct="ok", by=["topic"])
    assert answers.confidence["p"].tolist() == COLUMNS["p"]
    assert answers.confidence["q"].tolist() == COLUMNS["q"]
    assert answers.correct.tolist() == [float(v) for v in COLUMNS["ok"]]
    assert answers.by == {"topic": COLUMNS["topic"]}
    assert answers.n_skipped == 0


def test_scores_are_a_column_of_lists_or_one_column_per_option(file):
    pairs = [list(pair) for pair in zip(COLUMNS["a"], COLUMNS["b"], strict=True)]
    ragged = [[*pair, -9.0] if i % 2 else pair for i, pair in enumerate(pairs)]
    several = read_answers(file(".csv"), scores=["a", "b"], label="gold")
    softmax = [max(np.exp(pair)) / sum(np.exp(pair)) for pair in pairs]
    assert several.confidence["confidence"] == pytest.approx(softmax)
    expected = [float((a < b) == gold) for (a, b), gold in zip(pairs, COLUMNS["gold"], strict=True)]
    assert several.correct.tolist() == expected
    for kind in (".jsonl", ".parquet"):
        one = read_answers(file(kind, COLUMNS | {"s": pairs}), scores=["s"], label="gold")
        assert one.confidence["confidence"] == pytest.approx(softmax)
        assert one.correct.tolist() == expected
        more = read_answers(file(kind, COLUMNS | {"s": ragged}), scores=["s"], label="gold")
        assert more.confidence["confidence"] == pytest.approx(softmax, abs=1e-3)


def test_empty_cells_are_named_or_left_out(file):
    changed = COLUMNS | {"p": [None, *COLUMNS["p"][1:]], "topic": [None] * 30 + ["art"] * 30}
    for kind in (".csv", ".jsonl", ".parquet"):
        path = file(kind, changed)
        with pytest.raises(ValueError, match=r"`p`.*none at row 0"):
            read_answers(path, confidence=["p"], correct="ok")
        answers = read_answers(path, confidence=["p"], correct="ok", by=["topic"], skip_empty=True)
        assert answers.n_skipped == 1
        assert len(answers.correct) == len(answers.by["topic"]) == ROWS - 1


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({}, {}, "There are p, q, ok"),
        ({}, {"confidence": "p"}, "got confidence"),
        ({}, {"confidence": "p", "correct": "ok", "label": "gold"}, "confidence and correct and l"),
        ({}, {"confidence": "r", "correct": "ok"}, "one of 'p', 'q', 'ok', 'topic'.*'r'"),
        ({}, {"confidence": "p", "correct": "ok", "by": "length"}, "'length'"),
        ({}, {"confidence": "topic", "correct": "ok"}, "`topic`.*numbers.*string"),
        ({"p": [0.5] * 59 + [50.0]}, {"confidence": "p", "correct": "ok"}, "`p`.*50.0 at row 59"),
        ({"ok": [0.5] * 60}, {"confidence": "p", "correct": "ok"}, "`ok`.*row 0"),
        ({"gold": [2] * 60}, {"scores": "a,b", "label": "gold"}, r"`gold`.*\[0, 2\)"),
        ({"gold": [0.5] * 60}, {"scores": "a,b", "label": "gold"}, "`gold`.*whole numbers"),
        ({}, {"scores": "a", "label": "gold"}, "`a`.*lists"),
        ({"a": [[1.0, 2.0]] * 59 + [None]}, {"scores": "a", "label": "gold"}, "None at row 59"),
        ({name: [] for name in COLUMNS}, {"confidence": "p", "correct": "ok"}, "one row|damaged"),
    ],
)
def test_mistakes_are_named_in_one_line(file, capsys, columns, options, message):
    path = file(".jsonl" if "a" not in columns else ".parquet", COLUMNS | columns)
    if not any((COLUMNS | columns).values()):
        path = file(".csv", columns)
    flags = [part for name, value in options.items() for part in (f"--{name}", value)]
    line = failure(capsys, path, *flags)
    assert str(path) in line
    assert re.search(message, line)


def test_two_columns_of_one_name_are_named(tmp_path, capsys):
    path = tmp_path / "twice.csv"
    path.write_text("p,p,ok\n0.5,0.6,1\n0.5,0.6,0\n")
    line = failure(capsys, path, "--confidence", "p", "--correct", "ok")
    assert line.endswith("twice.csv: two columns of one name: 'p'")


def test_other_files_are_refused(tmp_path, capsys):
    assert "no " in failure(capsys, tmp_path / "nowhere.csv")
    (tmp_path / "a.xlsx").write_bytes(b"x")
    assert ".xlsx" in failure(capsys, tmp_path / "a.xlsx")
    (tmp_path / "a.parquet").write_bytes(b"no parquet")
    assert "damaged" in failure(capsys, tmp_path / "a.parquet")
    (tmp_path / "a.csv").write_text("")
    assert "empty" in failure(capsys, tmp_path / "a.csv")
    assert "No manifest" in failure(capsys, tmp_path)
    (tmp_path / "report.json").write_text("[]")
    assert "a JSON object" in failure(capsys, tmp_path)
    (tmp_path / "report.json").write_text('{"kind": "study"}')
    assert "study" in failure(capsys, tmp_path / "report.json")
    (tmp_path / "report.json").write_text('{"format_version": 99}')
    assert "format 99" in failure(capsys, tmp_path)
    assert "--by and --out_dir do not apply" in failure(
        capsys, tmp_path, "--by", "x", "--out_dir", "y"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"p;ok\n0.9;1\n", "one column only; it is separated by semicolons, where commas are"),
        (b"p;ok\n0,9;1\n", "one column only; it is separated by semicolons"),
        (b"p\tok\n0.9\t1\n", "one column only; it is separated by tabs"),
        ("p,ok\n0.9,1\n".encode("utf-16"), "not UTF-8"),
        (b"p,ok\n94%,1\n", "`p` to be a column of numbers .* type string, such as '94%'"),
        (b"p,ok\n0.9,yes\n", "`ok` to be a column of numbers .* such as 'yes'"),
        (b"p,ok\n", "at least one row, but got none$"),
    ],
)
def test_other_programs_ways_with_csv_are_named(tmp_path, capsys, text, said):
    path = tmp_path / "answers.csv"
    path.write_bytes(text)
    line = failure(capsys, path, "--confidence", "p", "--correct", "ok")
    assert re.search(said, line)
    assert line.isprintable()


def test_probabilities_are_no_scores(file, capsys):
    rows = {"s": [[0.25, 0.75], [0.5, 0.5]] * 30, "gold": COLUMNS["gold"]}
    line = failure(capsys, file(".jsonl", rows), "--scores", "s", "--label", "gold")
    assert "`scores` to be unnormalised" in line
    assert "Take their logarithms" in line


def test_a_place_where_nothing_can_be_written_is_named_before_anything_is_measured(file, capsys):
    path = file(".csv", COLUMNS)
    line = failure(capsys, path, "--confidence", "p", "--correct", "ok", "--out_dir", path)
    assert f"cannot be written: {path} is a file, no folder" in line


def test_a_file_is_measured_printed_and_written(file, capsys, tmp_path):
    flags = ["--confidence", "p,q", "--correct", "ok", "--by", "topic", "--terminal"]
    text = run(capsys, file(".csv"), *flags, "--out_dir", tmp_path / "out", "--title", "Mine")
    by = {"topic": COLUMNS["topic"]}
    series = {"p": COLUMNS["p"], "q": COLUMNS["q"]}
    expected = measure(series, COLUMNS["ok"], by=by, n_resamples=20, title="Mine")
    assert " ".join(expected.verdict.split()) in " ".join(text.split())
    assert "its 95 % interval" in text
    assert str(tmp_path / "out" / "report.html") in text.replace("\n", "")
    fields = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (fields["title"], list(fields["series"])) == ("Mine", ["p", "q"])
    again = run(capsys, file(".csv"), "--confidence", "p", "--correct", "ok", "--advise", "false")
    assert "its 95 % interval" not in again
    assert "segments" not in again
    assert "AUROC is" not in again


def test_skipped_rows_are_counted(file, capsys):
    path = file(".csv", COLUMNS | {"p": [None, None, *COLUMNS["p"][2:]]})
    text = run(capsys, path, "--confidence", "p", "--correct", "ok", "--skip_empty")
    assert "2 rows with empty cells left out" in text


def test_an_output_table_is_measured_by_its_questions(folder, capsys):
    text = run(capsys, folder)
    for column in ("task = ", "benchmark = ", "options = ", "words = ", "topic = "):
        assert column in text
    table = OutputTable.open(folder)
    correct = top_answers(table)[1]
    assert f"{correct.mean():.3f}" in text
    assert "topic" in run(capsys, folder, "--by", "topic")
    line = failure(capsys, folder, "--by", "language")
    assert "'language' among task, benchmark, options, words, topic" in line
    assert "--confidence do not apply" in failure(capsys, folder, "--confidence", "p")


def test_the_folder_of_an_experiment_says_where_its_report_is(tmp_path, capsys):
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "report.json").write_text("{}")
    assert f"its report is in {tmp_path}/report" in failure(capsys, tmp_path)


def test_columns_of_questions(folder):
    table = OutputTable.open(folder).select(np.arange(120)[::-1])
    columns = question_columns(table, read_questions(folder))
    assert list(columns) == ["task", "benchmark", "options", "words", "topic"]
    assert columns["topic"] == ["art"] * 60 + ["law"] * 60
    assert columns["options"] == [3, 2] * 60
    assert (columns["words"][0], columns["words"][-1]) == (1 + 119 % 30, 1 + 2)
    assert columns["benchmark"][:2] == ["arc", "mmlu"]
    assert list(question_columns(table)) == ["task", "benchmark", "options"]
    assert question_columns(table.select([0])) == {}
    with pytest.raises(ValueError, match="119 missing, first q119"):
        question_columns(table, read_questions(folder)[:1])


def test_top_answers_are_those_of_the_softmax(folder):
    table = OutputTable.open(folder)
    confidence, correct = top_answers(table)
    for i in (0, 1, 119):
        row = table.scores[i][np.isfinite(table.scores[i])]
        assert confidence[i] == pytest.approx(np.exp(row).max() / np.exp(row).sum())
        assert correct[i] == float(row.argmax() == table.labels[i])
    unlabelled = OutputTable.from_arrays(["a"], ["t"], None, [[1.0, 0.0]])
    with pytest.raises(ValueError, match="no label of a"):
        top_answers(unlabelled)


def test_a_report_of_evaluate_is_shown_again(tmp_path, capsys):
    report = cross_validate(make_table(n=20), make_fit(), n_resamples=20, progress=False)
    report.write(tmp_path)
    text = run(capsys, tmp_path, "--terminal")
    assert " ".join(report.verdict.split()) in " ".join(text.split())
    assert text.count("its 95 % interval") == 3
    short = run(capsys, tmp_path / "report.json")
    assert "its 95 % interval" not in short


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("header.csv", b"\xff\n1\n"),  # one column, whose name is no text
        ("none.csv.gz", b"no gzip"),
        ("cut.csv.gz", gzip.compress(b"p;right\n1;0\n" * 300, mtime=0)[:40]),
    ],
)
def test_damaged_tables_are_named_whatever_their_separators(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name}.*(damaged|not UTF-8|semicolons)"):
        read_answers(tmp_path / name, confidence=["p"], correct="right")
