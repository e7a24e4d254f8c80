"""Tables from single files: read as they are, refused with the file and the reason."""

import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from thermometer.adapters.files import load_table

ROWS = [
    {"id": "q1", "task": "law", "label": 1, "scores": [0.5, 1.5, -2.0], "note": "kept out"},
    {"id": "q2", "task": "art", "label": 0, "scores": [3.0, 1.0], "note": ""},
]


def lines(rows):
    return "\n".join(map(json.dumps, rows))


def write(folder, name, rows=ROWS):
    path = folder / name
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif name.endswith(".gz"):
        path.write_bytes(gzip.compress(lines(rows).encode()))
    else:
        path.write_text(lines(rows))
    return path


@pytest.mark.parametrize("name", ["m.parquet", "m.jsonl", "m.jsonl.gz", "m.ndjson"])
def test_every_kind_of_file_gives_the_same_table(tmp_path, name):
    table = load_table(write(tmp_path, name))
    assert table.ids == ("q1", "q2")
    assert table.tasks.tolist() == ["law", "art"]
    assert table.labels.tolist() == [1, 0]
    assert np.array_equal(table.scores, [[0.5, 1.5, -2.0], [3.0, 1.0, -np.inf]])
    assert table.features is None
    assert table.provenance["scores"] == {"model": "m", "file": name}


def test_features_come_along_and_labels_may_be_missing(tmp_path):
    rows = pa.Table.from_pylist([{**row, "label": None} for row in ROWS])
    features = pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float32(), 2))
    rows = rows.set_column(2, "label", pa.array([None, None], pa.int64()))
    pq.write_table(rows.append_column("features", features), tmp_path / "m.parquet")
    table = load_table(tmp_path / "m.parquet")
    assert table.features.tolist() == [[1, 2], [3, 4]]
    assert not table.labelled


def changed(**fields):
    return [{**ROWS[0], **fields}, ROWS[1]]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{k: v for k, v in row.items() if k != "task"} for row in ROWS], "'task'"),
        (changed(id="q2"), "'q2' 2 times"),
        (changed(label=3), "3 for question q1"),
        (changed(scores=[1.0, None]), "nan for question q1"),
        (changed(scores=[1.0]), "at least two options"),
        (changed(scores="high"), "scores"),
    ],
)
@pytest.mark.parametrize("name", ["m.parquet", "m.jsonl"])
def test_wrong_content_is_refused_with_the_file(tmp_path, rows, message, name):
    if isinstance(rows[0].get("scores"), str):
        rows = [{**row, "scores": "high"} for row in rows]
    path = write(tmp_path, name, rows)
    with pytest.raises(ValueError, match=message) as error:
        load_table(path)
    assert name in str(error.value)


def test_what_is_no_table_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no"):
        load_table(tmp_path / "nowhere.parquet")
    with pytest.raises(FileNotFoundError, match="manifest"):
        load_table(tmp_path)
    with pytest.raises(ValueError, match=r"a \.parquet or a \.jsonl file, but got"):
        load_table(write(tmp_path, "m.csv"))
    (tmp_path / "cut.parquet").write_bytes(write(tmp_path, "m.parquet").read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"cut\.parquet: damaged"):
        load_table(tmp_path / "cut.parquet")
    (tmp_path / "cut.jsonl").write_text('{"id": "q1", "tas')
    with pytest.raises(ValueError, match=r"cut\.jsonl, line 1: not JSON"):
        load_table(tmp_path / "cut.jsonl")
    (tmp_path / "null.jsonl").write_text('null\n{"id": "q1"}\n')  # crashed the reader of Arrow 26
    with pytest.raises(ValueError, match=r"null\.jsonl, line 1: expected a JSON object"):
        load_table(tmp_path / "null.jsonl")
    (tmp_path / "mixed.jsonl").write_text('{"id": "q1"}\n{"id": 2}\n')
    with pytest.raises(ValueError, match=r"mixed\.jsonl: values of 'id' do not go together"):
        load_table(tmp_path / "mixed.jsonl")
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b"{}" * 99)[:-9])
    with pytest.raises(ValueError, match=r"cut\.jsonl\.gz, .*damaged gzip"):
        load_table(tmp_path / "cut.jsonl.gz")
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(ValueError, match=r"empty\.jsonl"):
        load_table(tmp_path / "empty.jsonl")
