"""One reader of rows: what pandas reads, or an error that names the file. Never a guess."""

import csv
import decimal
import gzip
import io
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thermometer.adapters.files import load_table, read_answers, read_columns


def written(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def answers(path, **columns):
    return read_answers(path, **columns or {"confidence": ["p"], "correct": "ok"})


# --- CSV ---

texts = st.lists(
    st.text(st.sampled_from('a",;\n\r\t é😀\u2028.0-1eN'), max_size=6).map(lambda text: "x" + text),
    min_size=2,
    max_size=2,
)


@given(st.lists(texts, min_size=1, max_size=8), st.sampled_from(["\n", "\r\n"]), st.booleans())
@settings(deadline=None, max_examples=60)
def test_texts_are_those_that_pandas_reads(tmp_path_factory, rows, ending, mark):
    file = io.StringIO(newline="")
    csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator=ending).writerows([["a", "b"], *rows])
    data = ("\ufeff" * mark + file.getvalue()).encode()
    path = written(tmp_path_factory.mktemp("csv"), "t.csv.gz", gzip.compress(data))
    found = read_columns(path).to_pydict()
    expected = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    assert found == {name: expected[name].tolist() for name in expected}
    assert found["a"] == [row[0] for row in rows]


number = st.one_of(st.floats(allow_nan=False), st.integers(-(2**53), 2**53), st.none())


@given(st.lists(number, min_size=1, max_size=20), st.sampled_from(["", " "]), st.booleans())
@settings(deadline=None, max_examples=60)
def test_numbers_are_those_that_pandas_reads(tmp_path_factory, values, blank, quoted):
    mark = '"' * quoted
    cells = [f"{mark}{'' if v is None else blank + repr(v) + blank}{mark},x" for v in values]
    path = written(tmp_path_factory.mktemp("csv"), "n.csv", "\n".join(["n,t", *cells]))
    found = read_columns(path)["n"].to_pylist()
    expected = pd.read_csv(path)["n"].to_numpy(np.float64)
    np.testing.assert_array_equal(np.array(found, np.float64), np.array(values, np.float64))
    np.testing.assert_allclose(np.array(found, np.float64), expected, rtol=1e-15)


def test_line_breaks_in_cells_of_large_files(tmp_path):
    """Arrow's reader cut such files at the end of a block, inside a cell."""
    rng = np.random.default_rng(0)
    p = rng.uniform(0.5, 1, 60_000).round(4)
    ok = rng.random(len(p)) < p
    with (tmp_path / "large.csv").open("w", newline="") as file:
        csv.writer(file).writerow(["p", "ok", "answer"])
        csv.writer(file).writerows((a, int(b), " \n0.5,0,") for a, b in zip(p, ok, strict=True))
    found = answers(tmp_path / "large.csv", confidence=["p"], correct="ok", by=["answer"])
    assert (tmp_path / "large.csv").stat().st_size > 1 << 20
    np.testing.assert_array_equal(found.confidence["p"], p)
    np.testing.assert_array_equal(found.correct, ok)
    assert set(found.by["answer"]) == {" \n0.5,0,"}


def test_types_are_those_of_the_whole_column(tmp_path):
    rows = "".join("0.5,1,7\n" for _ in range(300_000))  # more than a block of numbers
    path = written(tmp_path, "late.csv", f"p,ok,zip\n{rows}0.25,0,x7\n")
    assert answers(path, confidence=["p"], correct="ok", by=["zip"]).by["zip"][-2:] == ["7", "x7"]
    with pytest.raises(ValueError, match=r"`zip` to be a column of numbers only.* such as '7'"):
        answers(path, confidence=["zip"], correct="ok")


def test_an_answer_may_be_longer_than_a_block(tmp_path):
    path = written(tmp_path, "long.csv", f"p,ok,answer\n0.5,1,{'x' * 3_000_000}\n")
    assert len(answers(path, confidence=["p"], correct="ok", by=["answer"]).by["answer"][0]) == 3e6


@pytest.mark.parametrize(
    ("column", "values"),
    [
        (["007", "7"], ["007", "7"]),
        (["9007199254740993", "9007199254740992"], ["9007199254740993", "9007199254740992"]),
        (["2020-01-01", ""], ["2020-01-01", None]),
        (["NA", "DE"], ["NA", "DE"]),
        (["NA", "3"], [None, 3.0]),
        (["true", "FALSE"], [True, False]),
        (["+0.5", ".5e1"], [0.5, 5.0]),
        (["0x10", "1"], ["0x10", "1"]),
        (["1_000", "1"], ["1_000", "1"]),
        (["1e999", "1"], ["1e999", "1"]),
        (["-inf", "1"], [-np.inf, 1.0]),
    ],
)
def test_what_cells_mean(tmp_path, column, values):
    path = written(tmp_path, "c.csv", "c,t\n" + "".join(f"{cell},x\n" for cell in column))
    assert read_columns(path)["c"].to_pylist() == values


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("p,ok,t\n0.5,1,é\n".encode("latin-1"), "not UTF-8"),
        ("p,ok\n0.5,1\n".encode("utf-16-le"), "no UTF-8"),
        ("p;ok\n0,5;1\n", "separated by semicolons"),
        ('p,ok\n"0,5",1\n', "numbers only.*'0,5'"),
        ('p,ok\n"1,000",1\n', "numbers only.*'1,000'"),
        ("p,ok\n1e999,1\n", "numbers only.*'1e999'"),
        ("p,ok\ninf,1\n", "`p` to be finite"),
        ("p,ok\n0.5\n", "line 2: expected 2 cells, as in the header, but got 1"),
        ("p,ok\n0.5,1,2\n", "line 2: expected 2 cells, as in the header, but got 3"),
        ('p,ok,t\n0.5,1,"x\n0.6,0,y\n0.7,1,z\n', "damaged .unexpected end"),  # one mark too few
        ('p,ok,t\n0.5,1,"x\n0.6,0,"y"\n0.7,1,z\n', "line 3: damaged"),
        ('p,ok,t\n0.5,1,"say \\"hi\\""\n', "line 2: damaged"),
        ("p,ok,p\n0.5,1,0.6\n", "two columns of one name: 'p'"),
        ("p,ok\n0.5,1\n0.6,true\n", "numbers or truth values"),
        ("p,ok\ntrue,1\n", "numbers only, but got one of type bool"),
    ],
)
def test_csv_that_is_refused(tmp_path, content, said):
    path = written(tmp_path, "c.csv", content)
    with pytest.raises(ValueError, match=rf"c\.csv.*{said}"):
        answers(path)


def test_gzip_of_several_members_and_cut_gzip(tmp_path):
    members = gzip.compress(b"p,ok\n0.5,1\n") + gzip.compress(b"0.6,0\n")
    assert answers(written(tmp_path, "m.csv.gz", members)).confidence["p"].tolist() == [0.5, 0.6]
    with pytest.raises(ValueError, match=r"m\.csv\.gz, after line .*damaged gzip"):
        answers(written(tmp_path, "m.csv.gz", members[:-9]))


# --- JSON lines and Parquet ---


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"p": 0.9, "ok": 1, "p": 0.1}', "line 1: not JSON .the key 'p' stands twice"),
        ('{"p": 0.9, "ok": 1}\n{"p": true, "ok": 1}', "numbers and truth values"),
        ('{"p": 0.9, "ok": 1}\n{"p": 0.5, "ok": true}', "numbers and truth values"),
        ('{"p": "0.9", "ok": 1}', "numbers only"),
        ('{"p": true, "ok": 1}', "numbers only"),
        ('{"p": 1e999, "ok": 1}', "`p` to be finite"),
    ],
)
def test_json_lines_that_are_refused(tmp_path, content, said):
    with pytest.raises(ValueError, match=rf"a\.jsonl.*{said}"):
        answers(written(tmp_path, "a.jsonl", content))


def both(path):
    """The scores of a file by each of the two readers, or what they say of it."""
    for read in (
        lambda: load_table(path).scores,
        lambda: answers(path, scores=["scores"], label="label").confidence["confidence"],
    ):
        try:
            yield read()
        except ValueError as error:
            yield str(error)


HALF = [np.float16(1), np.float16(2)]
TENTH = [decimal.Decimal("1.00"), decimal.Decimal("2.00")]


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        (pa.large_list(pa.float64()), [1, 2]),
        (pa.list_(pa.float32(), 2), [1, 2]),
        (pa.list_(pa.float16()), HALF),
        (pa.list_(pa.decimal128(5, 2)), TENTH),
        (pa.list_(pa.int8()), [1, 2]),
    ],
)
def test_both_readers_take_the_same_lists(tmp_path, kind, row):
    columns = {"id": pa.array(["q"], pa.large_string()), "task": pa.array(["t"])}
    columns |= {"label": pa.array([1], pa.uint8()), "scores": pa.array([row], kind)}
    columns["task"] = columns["task"].dictionary_encode()
    pq.write_table(pa.table(columns), tmp_path / "s.parquet")
    scores, confidence = both(tmp_path / "s.parquet")
    assert scores.tolist() == [[1.0, 2.0]]
    assert confidence == pytest.approx(1 / (1 + np.exp(-1)))


@pytest.mark.parametrize("row", [["1", "2"], [True, False], [1.0, None], [1.0, -np.inf], [[1.0]]])
def test_both_readers_refuse_the_same_lists(tmp_path, row):
    columns = {"id": ["q"], "task": ["t"], "label": [1], "scores": pa.array([row])}
    pq.write_table(pa.table(columns), tmp_path / "s.parquet")
    assert all("s.parquet" in found for found in both(tmp_path / "s.parquet"))


@pytest.mark.parametrize(
    "column",
    [
        pa.array([0.5, 0.25, None]).dictionary_encode(),
        pa.array([np.float16(0.5), np.float16(0.25), np.float16("nan")], pa.float16()),
        pa.array([decimal.Decimal("0.50"), decimal.Decimal("0.25"), None]),
        pa.array([0.5, 0.25, None], pa.float32()),
    ],
)
def test_numbers_of_any_type(tmp_path, column):
    pq.write_table(pa.table({"p": column, "ok": [True, False, True]}), tmp_path / "p.parquet")
    options = {"confidence": ["p"], "correct": "ok", "skip_empty": True}
    found = answers(tmp_path / "p.parquet", **options)
    assert (found.confidence["p"].tolist(), found.n_skipped) == ([0.5, 0.25], 1)


# --- labels ---


@pytest.mark.parametrize("label", [True, "1", "B", 1.5, [1], 2**70])
@pytest.mark.parametrize("name", ["l.jsonl", "l.parquet"])
def test_labels_that_are_no_index_are_refused(tmp_path, label, name):
    row = {"id": "q", "task": "t", "label": label, "scores": [1.0, 2.0]}
    if name.endswith("jsonl"):
        written(tmp_path, name, json.dumps(row))
    elif label == 2**70:
        return
    else:
        pq.write_table(pa.Table.from_pylist([row]), tmp_path / name)
    assert all(isinstance(found, str) and name in found for found in both(tmp_path / name))


@pytest.mark.parametrize("label", [None, float("nan"), -1])
def test_labels_that_are_missing(tmp_path, label):
    rows = {"id": ["q", "r"], "task": ["t", "t"], "label": [label, 1], "scores": [[1.0, 2.0]] * 2}
    pq.write_table(pa.table(rows), tmp_path / "l.parquet")
    assert load_table(tmp_path / "l.parquet").labels.tolist() == [-1, 1]
    with pytest.raises(ValueError, match=r"l\.parquet: .*`label`"):
        answers(tmp_path / "l.parquet", scores=["scores"], label="label")


@pytest.mark.parametrize("cell", ["True", "B", "1.5", "-1", "", "inf", "1e300", "007"])
def test_labels_of_csv(tmp_path, cell):
    path = written(tmp_path, "l.csv", f"a,b,label\n1,2,{cell}\n")
    with pytest.raises(ValueError, match=r"l\.csv: .*`label`"):
        answers(path, scores=["a", "b"], label="label")
    path = written(tmp_path, "l.csv", "a,b,label\n1,2, 1.0 \n3,1,1\n")
    assert answers(path, scores=["a", "b"], label="label").correct.tolist() == [1.0, 0.0]


@pytest.mark.parametrize("identifier", [7.0, True, None, b"x"])
def test_ids_that_are_neither_texts_nor_whole(tmp_path, identifier):
    rows = {"id": [identifier], "task": ["t"], "label": [1], "scores": [[1.0, 2.0]]}
    pq.write_table(pa.table(rows), tmp_path / "i.parquet")
    with pytest.raises(ValueError, match=r"i\.parquet: .*id"):
        load_table(tmp_path / "i.parquet")
    rows["id"] = [7]
    pq.write_table(pa.table(rows), tmp_path / "i.parquet")
    assert load_table(tmp_path / "i.parquet").ids == ("7",)
