"""The output table on disk and in memory: round trips, joins, and everything that is refused."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thermometer import table_files
from thermometer.calibrator import check_same_origin
from thermometer.scaling import fit_temperature
from thermometer.tables import OutputTable

ROWS = [
    {"id": "a", "task": "s", "question": "A?", "choices": ["x", "y"], "answer": 1},
    {"id": "b", "task": "t", "question": "B?", "choices": ["x", "y", "z"], "answer": 2},
    {"id": "c", "task": "s", "question": "C?", "choices": ["x", "y"]},
]
SCORES = {"a": [-1.5, -0.25], "b": [-3.0, -2.0, -1.0], "c": [-0.5, -7.0]}
FEATURES = {"a": [1.0, 2.0], "b": [3.0, 4.0], "c": [5.0, 6.0]}
MADE_BY = {"features": {"model": "small"}, "scores": {"model": "large"}}


def columns(*ids, **changes):
    row = {item["id"]: item for item in ROWS}
    found = {
        "id": list(ids),
        "task": [row[i]["task"] for i in ids],
        "label": [row[i].get("answer") for i in ids],
        "n_prompt_tokens": [7] * len(ids),
        "scores": [SCORES[i] for i in ids],
        "option_mass": np.full(len(ids), 0.5, dtype=np.float32),
        "features": np.array([FEATURES[i] for i in ids], dtype=np.float32),
    }
    return {name: value for name, value in {**found, **changes}.items() if value is not None}


@pytest.fixture
def folder(tmp_path):
    """A finished table of two parts, rows not in the order of the questions."""
    table_files.write_part(tmp_path / "part-0.parquet", columns("b", "a"))
    table_files.write_part(tmp_path / "part-1.parquet", columns("c"))
    digest = table_files.write_questions(tmp_path, ROWS)
    sizes = {"part-0.parquet": 2, "part-1.parquet": 1}
    table_files.finish(tmp_path, sizes, MADE_BY, digest)
    return tmp_path


def rewrite(folder, part, **changes):
    """Replace a part with one whose columns differ."""
    ids = ("b", "a") if part == 0 else ("c",)
    table_files.write_part(folder / f"part-{part}.parquet", columns(*ids, **changes))


def edit_manifest(folder, **changes):
    file = folder / "manifest.json"
    manifest = {**json.loads(file.read_text()), **changes}
    kept = {key: value for key, value in manifest.items() if value is not None}
    file.write_text(json.dumps(kept))


def test_table_is_read_in_the_order_of_its_questions(folder):
    table = OutputTable.open(folder)
    assert table.ids == ("a", "b", "c")
    assert table.tasks.tolist() == ["s", "t", "s"]
    assert table.task_names == ("s", "t")
    assert table.labels.tolist() == [1, 2, -1]
    assert not table.labelled
    np.testing.assert_array_equal(table.features, [[1, 2], [3, 4], [5, 6]])
    np.testing.assert_array_equal(
        table.scores, [[-1.5, -0.25, -np.inf], [-3, -2, -1], [-0.5, -7, -np.inf]]
    )
    assert table.n_options.tolist() == [2, 3, 2]
    assert table.provenance == MADE_BY
    assert (table.features.dtype, table.scores.dtype) == (np.float32, np.float64)
    assert (
        repr(table) == "OutputTable(questions=3, tasks=2, features=2, scores=True, labelled=False)"
    )


@given(
    st.lists(
        st.lists(st.floats(-(2.0**90), 0, width=32), min_size=2, max_size=6),
        min_size=1,
        max_size=12,
    ),
    st.randoms(use_true_random=False),
)
@settings(deadline=None, max_examples=25)
def test_ragged_scores_survive_in_any_order_of_parts(tmp_path_factory, scores, random):
    folder = tmp_path_factory.mktemp("table")
    rows = [
        {"id": f"q{n}", "task": "t", "question": "?", "choices": [f"o{k}" for k in range(len(row))]}
        for n, row in enumerate(scores)
    ]
    order = random.sample(range(len(scores)), len(scores))
    sizes = {}
    for number, row in enumerate(order):
        name = f"part-{number}.parquet"
        table_files.write_part(
            folder / name,
            {
                "id": [rows[row]["id"]],
                "task": ["t"],
                "label": [None],
                "n_prompt_tokens": [1],
                "scores": [scores[row]],
                "option_mass": [0.5],
            },
        )
        sizes[name] = 1
    table_files.finish(folder, sizes, {}, table_files.write_questions(folder, rows))
    table = OutputTable.open(folder)
    for got, expected in zip(table.scores, scores, strict=True):
        assert got[: len(expected)].tolist() == expected
        assert np.isneginf(got[len(expected) :]).all()


def test_half_precision_features(folder):
    for part, ids in ((0, ("b", "a")), (1, ("c",))):
        halves = np.array([FEATURES[i] for i in ids], dtype=np.float16)
        rewrite(folder, part, features=halves)
    table = OutputTable.open(folder)
    assert table.features.dtype == np.float32
    np.testing.assert_array_equal(table.features, [[1, 2], [3, 4], [5, 6]])


def test_tables_of_features_or_scores_alone(folder):
    for part in (0, 1):
        rewrite(folder, part, features=None)
    table = OutputTable.open(folder)
    assert table.features is None
    with pytest.raises(ValueError, match="a table with features, but got OutputTable"):
        table.require("features")
    for part in (0, 1):
        rewrite(folder, part, scores=None, option_mass=None)
    table = OutputTable.open(folder)
    assert table.scores is None
    assert table.option_mass is None
    assert table.features.shape == (3, 2)


def test_another_program_need_not_know_the_option_mass(folder):
    for part in (0, 1):
        file = folder / f"part-{part}.parquet"
        pq.write_table(pq.read_table(file).drop_columns(["option_mass", "n_prompt_tokens"]), file)
    table = OutputTable.open(folder)
    assert table.option_mass is None
    assert table.scores.shape == (3, 3)


# --- what is refused when a table is opened ---


def test_missing_manifest(folder):
    (folder / "manifest.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"No manifest .*run the same command again"):
        OutputTable.open(folder)


def test_truncated_part(folder):
    file = folder / "part-0.parquet"
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(ValueError, match=r"part-0\.parquet: damaged or truncated"):
        OutputTable.open(folder)


def test_missing_part(folder):
    (folder / "part-1.parquet").unlink()
    with pytest.raises(ValueError, match=r"part-1\.parquet: .* missing"):
        OutputTable.open(folder)


def test_part_with_fewer_rows_than_declared(folder):
    table_files.write_part(folder / "part-0.parquet", columns("b"))
    with pytest.raises(ValueError, match=r"part-0\.parquet: expected 2 rows, but got 1"):
        OutputTable.open(folder)


def test_missing_questions(folder):
    (folder / "questions.jsonl").unlink()
    with pytest.raises(ValueError, match=r"questions\.jsonl: missing"):
        OutputTable.open(folder)


def test_truncated_questions(folder):
    file = folder / "questions.jsonl"
    file.write_text(file.read_text()[:-20])
    with pytest.raises(ValueError, match=r"questions\.jsonl, line 3: not JSON"):
        OutputTable.open(folder)


def test_changed_questions(folder):
    table_files.write_questions(folder, [{**ROWS[0], "question": "Else?"}, *ROWS[1:]])
    with pytest.raises(ValueError, match=r"questions\.jsonl: not the questions"):
        OutputTable.open(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 2}, "written by a newer thermometer"),
        ({"format_version": "1"}, "format_version"),
        ({"format_version": None}, "format_version"),
        ({"digest": None}, "the key 'digest' is missing"),
        ({"parts": None}, "the key 'parts' is missing"),
        ({"provenance": None}, "the key 'provenance' is missing"),
        ({"parts": {}}, "no parts"),
        ({"parts": {"../part-0.parquet": 2}}, "outside the folder"),
        ({"parts": {"/etc/passwd": 2}}, "outside the folder"),
        ({"parts": {"..": 2}}, "outside the folder"),
    ],
)
def test_manifests_that_are_refused(folder, changes, message):
    edit_manifest(folder, **changes)
    with pytest.raises(ValueError, match=rf"manifest\.json: .*{message}"):
        OutputTable.open(folder)


def test_damaged_manifest(folder):
    (folder / "manifest.json").write_text("{")
    with pytest.raises(ValueError, match=r"manifest\.json: not JSON"):
        OutputTable.open(folder)
    (folder / "manifest.json").write_text("[]")
    with pytest.raises(ValueError, match=r"manifest\.json: expected a JSON object"):
        OutputTable.open(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": [[-1, -2, float("nan")], [-1, -2]]}, "finite, but got nan for question b"),
        ({"scores": [[-1, -2, -3], [-1, float("-inf")]]}, "finite, but got nan for question a"),
        ({"scores": [[-1, -2, -3], [-1, None]]}, "finite, but got nan for question a"),
        ({"scores": [[-1, -2], [-1, -2]]}, "number of scores of question b to be 3"),
        ({"scores": [[-1, -2, -3], None]}, r"part-0\.parquet: .*'scores' has empty cells"),
        ({"label": [2, 5]}, "label of question a to be 1"),
        ({"label": [2, None]}, "label of question a to be 1"),
        ({"task": ["t", "else"]}, "task of question a to be 's'"),
        ({"id": ["b", "b"]}, "the parts hold question 'b' twice"),
        ({"id": ["b", "new"]}, "only in the parts or only in questions.jsonl: a, new"),
        ({"features": np.array([[1, np.inf], [1, 2]], np.float32)}, "finite, but got inf for .* b"),
        ({"features": np.ones((2, 5), np.float32)}, "parts with the same columns"),
        ({"features": None}, "parts with the same columns"),
    ],
)
def test_parts_that_are_refused(folder, changes, message):
    rewrite(folder, 0, **changes)
    with pytest.raises(ValueError, match=message):
        OutputTable.open(folder)


def test_part_without_a_column(folder):
    file = folder / "part-1.parquet"
    pq.write_table(pq.read_table(file).drop_columns(["label"]), file)
    with pytest.raises(ValueError, match=r"part-1\.parquet: no column 'label' \(there are id, "):
        OutputTable.open(folder)


def test_part_with_words_for_scores(folder):
    for part in (0, 1):
        file = folder / f"part-{part}.parquet"
        table = pq.read_table(file)
        words = pa.array([["x", "y"]] * table.num_rows)
        pq.write_table(table.set_column(table.column_names.index("scores"), "scores", words), file)
    with pytest.raises(ValueError, match=r"part-0\.parquet: expected .*scores"):
        OutputTable.open(folder)


def test_part_with_features_of_no_fixed_width(folder):
    file = folder / "part-1.parquet"
    table = pq.read_table(file)
    ragged = pa.array([[1.0, 2.0]] * table.num_rows)
    pq.write_table(table.set_column(table.column_names.index("features"), "features", ragged), file)
    with pytest.raises(ValueError, match=r"part-1\.parquet: expected features of type fixed_size"):
        OutputTable.open(folder)


def test_another_program_may_write_wider_types(folder):
    file = folder / "part-1.parquet"
    table = pq.read_table(file)
    for name, kind in (
        ("scores", pa.large_list(pa.float64())),
        ("label", pa.int32()),
        ("id", pa.large_string()),
        ("option_mass", pa.float64()),
    ):
        table = table.set_column(table.column_names.index(name), name, table[name].cast(kind))
    pq.write_table(table, file)
    assert OutputTable.open(folder).scores[2, :2].tolist() == SCORES["c"]


def test_unfinished_parts_are_not_declared_finished(tmp_path):
    table_files.write_part(tmp_path / "one.parquet", columns("a"))
    with pytest.raises(RuntimeError, match=r"1 of 2 parts were not written, .* two\.parquet"):
        table_files.finish(tmp_path, {"one.parquet": 1, "two.parquet": 1}, {}, "")
    assert not (tmp_path / "manifest.json").exists()


def test_digest_is_of_the_questions_not_of_their_order():
    assert table_files.questions_digest(ROWS) == table_files.questions_digest(ROWS[::-1])
    changed = [*ROWS[:2], {**ROWS[2], "answer": 0}]
    assert table_files.questions_digest(ROWS) != table_files.questions_digest(changed)


# --- in memory ---


def arrays(ids="abc", labels=(0, 1, -1), scores=((2, 1), (0, 5), (1, 1)), **more):
    return OutputTable.from_arrays(list(ids), ["t"] * len(ids), labels, scores, **more)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ids": "aba"}, "`ids` to be unique, but got 'a' 2 times"),
        ({"labels": (0, -1, 2)}, "an index of an option, but got 2 for question c"),
        ({"labels": (-1, -1, -2)}, "got -2 for question c"),
        ({"labels": (0, 1)}, r"`labels` to be of length 3 .* length 2"),
        ({"scores": ((2, 1), (0, np.nan), (1, 1))}, "finite, but got nan for question b"),
        ({"scores": ((2, 1), (0, 1), (np.inf, 1))}, "finite, but got inf for question c"),
        ({"scores": ((2, 1), (-np.inf, 1), (1, 1))}, "padded with -inf on the right only"),
        ({"scores": ((2, 1), (1, -np.inf), (1, 1))}, "at least two options"),
        ({"scores": (1, 2, 3)}, r"shape \(N, K\)"),
        ({"features": ((1, 2), (3, np.nan), (5, 6))}, "finite, but got nan for question b"),
        ({"features": (1, 2, 3)}, r"shape \(N, D\)"),
        ({"features": ((1, 2),)}, "`features` to be of length 3"),
    ],
)
def test_arrays_that_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        arrays(**options)


def test_labels_that_are_no_integers_are_refused():
    with pytest.raises(TypeError, match="`labels` to hold integers"):
        arrays(labels=(0.0, 1.0, 0.5))


@pytest.mark.parametrize(
    "labels",
    [[True, False, True], [True, 0, 1], np.array([True, False, True]), [np.True_, 0, 0]],
)
def test_truth_values_are_no_labels(labels):
    table = arrays()
    with pytest.raises(TypeError, match="`labels` to hold integers"):
        arrays(labels=labels)
    with pytest.raises(TypeError, match="`labels` to hold integers"):
        replace(table, labels=labels)
    with pytest.raises(TypeError, match="`labels` to hold integers"):
        fit_temperature(table.scores, labels)


def test_a_label_beyond_64_bits_does_not_become_a_missing_one():
    with pytest.raises(ValueError, match="64 bits, but got 18446744073709551615"):
        arrays(labels=np.array([2**64 - 1, 0, 0], np.uint64))


def test_empty_table_is_refused():
    with pytest.raises(ValueError, match="`ids` to be at least one id, but got none"):
        OutputTable.from_arrays([], [])
    with pytest.raises(ValueError, match="`ids`"):
        arrays().select([])


def test_select():
    table = arrays(features=((1, 2), (3, 4), (5, 6)))
    mask, index = table.select([True, False, True]), table.select([0, 2])
    assert mask.ids == index.ids == ("a", "c")
    np.testing.assert_array_equal(mask.scores, index.scores)
    np.testing.assert_array_equal(mask.features, [[1, 2], [5, 6]])
    assert mask.labels.tolist() == [0, -1]
    with pytest.raises(ValueError, match="unique"):
        table.select([1, 1])


def test_of_tasks():
    table = OutputTable.from_arrays(["a", "b", "c"], ["s", "t", "s"])
    assert table.of_tasks(["s"]).ids == ("a", "c")
    with pytest.raises(ValueError, match=r"\['u'\]"):
        table.of_tasks(["s", "u"])
    with pytest.raises(TypeError, match="one string"):
        table.of_tasks("s")


def test_join_matches_by_id_whatever_the_order():
    features = arrays("abc", scores=None, features=((1, 1), (2, 2), (3, 3)), provenance=MADE_BY)
    scores = arrays(
        "cab", (-1, 0, 1), ((3, 0), (1, 0), (2, 0)), provenance={"scores": {"model": "x"}}
    )
    joined = features.join(scores)
    assert joined.ids == ("a", "b", "c")
    np.testing.assert_array_equal(joined.scores[:, 0], [1, 2, 3])
    np.testing.assert_array_equal(joined.features[:, 0], [1, 2, 3])
    assert joined.provenance == {"features": {"model": "small"}, "scores": {"model": "x"}}


def test_joins_that_are_refused(folder):
    features = arrays(scores=None, features=((1, 1), (2, 2), (3, 3)))
    with pytest.raises(ValueError, match="2 are in one only: c, d"):
        features.join(arrays("abd"))
    with pytest.raises(ValueError, match="equal tasks and labels, but b differs"):
        features.join(arrays(labels=(0, 0, -1)))
    with pytest.raises(ValueError, match="a table with scores"):
        features.join(features)
    with pytest.raises(ValueError, match="a table with features"):
        arrays().join(arrays())
    table = OutputTable.open(folder)
    rows = [*ROWS[:2], {**ROWS[2], "question": "Something else?"}]
    edit_manifest(folder, digest=table_files.write_questions(folder, rows))
    with pytest.raises(ValueError, match="the texts of 1 differ, first c"):
        table.join(OutputTable.open(folder))


def opened(folder, rows, **changes):
    """A finished table of some questions."""
    folder.mkdir()
    table_files.write_part(folder / "part.parquet", columns(*(r["id"] for r in rows), **changes))
    digest = table_files.write_questions(folder, rows)
    table_files.finish(folder, {"part.parquet": len(rows)}, MADE_BY, digest)
    return OutputTable.open(folder)


def test_parts_of_tables_are_joined_by_their_own_questions(folder, tmp_path):
    whole = OutputTable.open(folder)
    ones = [opened(tmp_path / row["id"], [row]) for row in ROWS]
    parts = [
        (whole.of_tasks(["s"]), [0, 2]),
        (whole.select([2, 0]), [2, 0]),
        (OutputTable.concatenate([ones[2], ones[0]]), [2, 0]),
        (OutputTable.concatenate(ones), [0, 1, 2]),
    ]
    for number, (part, rows) in enumerate(parts):
        other = opened(tmp_path / f"{number}", [ROWS[row] for row in sorted(rows)])
        assert part.digest == other.digest == table_files.questions_digest([ROWS[r] for r in rows])
        for a, b in ((part, other), (other, part)):
            np.testing.assert_array_equal(a.join(b).scores[:, :2], a.scores[:, :2])
            assert a.with_reference(b).digest == a.digest
    with pytest.raises(ValueError, match="2 are in one only"):
        whole.join(ones[0])


def test_parts_with_other_texts_are_refused(folder, tmp_path):
    part = OutputTable.open(folder).of_tasks(["s"])
    for number, change in enumerate(({"question": "Else?"}, {"choices": ["y", "x"]})):
        other = opened(tmp_path / f"other {number}", [ROWS[0], {**ROWS[2], **change}])
        for a, b in ((part, other), (other, part), (part.select([1]), other.select([1]))):
            with pytest.raises(ValueError, match="the texts of 1 differ, first c"):
                a.join(b)
        assert len(part.select([0]).join(other.select([0]))) == 1


SMALL = {
    "model": "small",
    "fingerprint": "f1",
    "layer": -1,
    "num_layers": None,
    "position": "last",
    "template_digest": "d1",
}


def test_features_of_the_same_weights_are_the_same_by_any_name():
    check_same_origin("features", SMALL, {**SMALL, "model": "/a/folder"})
    check_same_origin("features", {"model": "api"}, {"model": "api", "layer": 3})
    check_same_origin("features", SMALL, None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fingerprint": "f2", "model": "other"}, r"of small \(fingerprint f1\), .* of other"),
        ({"fingerprint": None, "model": "other"}, r"small \(model small\), .* of other"),
        ({"layer": 4}, "layer=-1, but got layer=4"),
        ({"position": "mean"}, "position='last', but got position='mean'"),
        ({"num_layers": 4}, "num_layers=None, but got num_layers=4"),
        ({"template_digest": "d2"}, "template_digest"),
        ({"position": "decoder_start"}, "position"),
    ],
)
def test_features_of_another_kind_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        check_same_origin("features", SMALL, {**SMALL, **changes})
