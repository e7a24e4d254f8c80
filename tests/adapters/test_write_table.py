"""Batches of rows from anywhere as an output table."""

import json

import numpy as np
import pytest

from thermometer import table_files
from thermometer.adapters.tables import write_table
from thermometer.tables import OutputTable

MADE_BY = {"features": {"model": "small"}, "scores": {"model": "large"}}
QUESTIONS = [
    {"id": "a", "task": "s", "question": "A?", "choices": ["x", "y"], "answer": 1},
    {"id": "b", "task": "t", "question": "B?", "choices": ["x", "y", "z"], "context": "Read."},
    {"id": "c", "task": "s", "question": "C?", "choices": ["x", "y"], "answer": 0},
]


def batch(numbers, **changes):
    rows = [QUESTIONS[number] for number in numbers]
    found = {
        **{name: [row[name] for row in rows] for name in ("id", "task", "question", "choices")},
        "answer": np.array([row.get("answer", -1) for row in rows]),
        "context": [row.get("context") for row in rows],
        "scores": [
            np.array([-1.0, 0.5, 2.0][: len(r["choices"])]) - n
            for n, r in zip(numbers, rows, strict=True)
        ],
        "features": np.array([[n, n + 0.5] for n in numbers], dtype=np.float32),
        "option_mass": np.full(len(rows), 0.25),
        "n_prompt_tokens": np.array(numbers, dtype=np.int64) + 3,
    }
    return {name: value for name, value in {**found, **changes}.items() if value is not None}


def test_batches_become_a_table(tmp_path):
    written = write_table(
        [batch([2]), batch([]), batch([1, 0])], tmp_path / "t", provenance=MADE_BY
    )
    for found in (written, OutputTable.open(tmp_path / "t")):
        assert found.ids == ("c", "b", "a")
        assert found.labels.tolist() == [0, -1, 1]
        np.testing.assert_array_equal(found.features[:, 0], [2, 1, 0])
        np.testing.assert_array_equal(found.scores[:, 0], [-3, -2, -1])
        assert found.n_options.tolist() == [2, 3, 2]
        assert found.provenance == MADE_BY
    rows = table_files.read_questions(tmp_path / "t" / "questions.jsonl")
    assert rows == [QUESTIONS[2], QUESTIONS[1], QUESTIONS[0]]


def test_the_order_that_is_wanted(tmp_path):
    found = write_table(
        [batch([2, 0]), batch([1])], tmp_path / "t", provenance=MADE_BY, order=["a", "b", "c"]
    )
    assert found.ids == ("a", "b", "c")
    with pytest.raises(ValueError, match="questions that came, but got 1 others: d"):
        write_table([batch([0])], tmp_path / "u", provenance=MADE_BY, order=["a", "d"])
    with pytest.raises(ValueError, match="the ids of all questions, but got 1 others: b"):
        write_table([batch([0, 1])], tmp_path / "u", provenance=MADE_BY, order=["a"])
    assert not (tmp_path / "u").exists()


def test_scores_padded_with_infinity_and_nothing_else(tmp_path):
    padded = np.array([[1.0, 2.0, -np.inf], [1.0, 2.0, 3.0]])
    bare = batch([0, 1], scores=padded, features=None, option_mass=None, n_prompt_tokens=None)
    found = write_table([bare], tmp_path / "t", provenance={"scores": {"model": "an API"}})
    assert found.features is None
    assert found.option_mass is None
    np.testing.assert_array_equal(found.scores, padded)
    assert found.provenance == {"features": None, "scores": {"model": "an API"}}


def test_labels_of_any_kind(tmp_path):
    """Columns with gaps come as floats or objects from tables of other programs."""
    for number, answers in enumerate(([1.0, np.nan, 0.0], [1, None, 0], np.array([1, -1, 0]))):
        found = write_table(
            [batch([0, 1, 2], answer=answers)], tmp_path / str(number), provenance=MADE_BY
        )
        assert found.labels.tolist() == [1, -1, 0]
    gaps = batch([0, 1], context=np.array([np.nan, "Read."], dtype=object))
    write_table([gaps], tmp_path / "gaps", provenance=MADE_BY)
    rows = table_files.read_questions(tmp_path / "gaps" / "questions.jsonl")
    assert [row.get("context") for row in rows] == [None, "Read."]
    unlabelled = batch([0], answer=None, context=None)
    assert not write_table([unlabelled], tmp_path / "n", provenance=MADE_BY).labelled


def test_half_precision_is_kept_and_double_is_not(tmp_path):
    for kind, kept in (("float16", "halffloat"), ("float64", "float")):
        features = np.array([[1, 2.5]], dtype=kind)
        write_table([batch([0], features=features)], tmp_path / kind, provenance=MADE_BY)
        part = table_files.read_part(tmp_path / kind / "part-00000.parquet", 1)
        assert str(part["features"].type.value_type) == kept


def test_provenance_may_travel_in_the_rows(tmp_path):
    text = json.dumps(MADE_BY)
    found = write_table(
        [batch([0], provenance=[text]), batch([1, 2], provenance=[text, text])], tmp_path / "t"
    )
    assert found.provenance == MADE_BY
    for other, message in (
        (json.dumps({"scores": {"model": "other"}}), "the same in all rows"),
        ("{", "provenance: not JSON"),
        ('{"model": "x"}', "of `features` and `scores`"),
    ):
        batches = [batch([0], provenance=[other])]
        batches += [batch([1], provenance=[text])] if "same" in message else []
        with pytest.raises(ValueError, match=message):
            write_table(batches, tmp_path / "u")
    with pytest.raises(ValueError, match="with a column 'provenance'"):
        write_table([batch([0])], tmp_path / "u")
    assert not (tmp_path / "u").exists()


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "at least one row"),
        ([batch([])], "at least one row"),
        ([batch([0]), batch([0])], "each question once, but got 'a' twice"),
        ([batch([0, 0])], "each question once"),
        ([batch([0], choices=None)], "with a column 'choices'"),
        ([batch([0], scores=[[1.0]])], "number of scores of question a to be 2"),
        ([batch([0], scores=[[1.0, np.nan]])], "finite, but got nan for question a"),
        ([batch([0], scores=[[-np.inf, 1.0]])], "finite, but got nan for question a"),
        ([batch([0], features=[[np.inf]])], "finite, but got inf for question a"),
        ([batch([0]), batch([1], features=[[1.0]])], "parts with the same columns"),
        ([batch([0], answer=[7])], "an index in .* but got 7 in question a"),
        ([batch([0], answer=[True])], "the index of the right choice.* got True in question a"),
        ([batch([0], answer=np.array([True]))], "the index of the right choice"),
        ([batch([0], answer=[1.5])], "the index of the right choice.* got 1.5 in question a"),
        ([batch([0], answer=["1"])], "the index of the right choice.* got '1' in question a"),
        ([batch([0], answer=[-2])], "the index of the right choice.* got -2 in question a"),
        ([batch([0], choices=[["x", "x"]])], "different texts"),
    ],
)
def test_batches_that_are_refused(tmp_path, batches, message):
    with pytest.raises(ValueError, match=message):
        write_table(batches, tmp_path / "t", provenance=MADE_BY)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": [None]}, "`id` to hold texts or whole numbers, but got None"),
        ({"id": [True]}, "`id` to hold texts or whole numbers, but got True"),
        ({"id": [7.0]}, "`id` to hold texts or whole numbers, but got 7.0"),
        ({"task": [np.nan]}, "`task` to hold texts or whole numbers, but got nan"),
        ({"question": [None]}, "`question` to be a text, but got None in a"),
        ({"choices": ["xy"]}, "list of strings, but got one string: 'xy'"),
        ({"choices": [["x", None]]}, "list of strings, but got NoneType"),
        ({"context": [5]}, "`context` to be a string, but got 5 in a"),
    ],
)
def test_what_is_no_text_does_not_become_one(tmp_path, changes, message):
    with pytest.raises(TypeError, match=message):
        write_table([batch([0], **changes)], tmp_path / "t", provenance=MADE_BY)
    assert write_table([batch([0], id=[7])], tmp_path / "u", provenance=MADE_BY).ids == ("7",)


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(ValueError, match="holds nothing yet"):
        write_table([batch([0])], tmp_path, provenance=MADE_BY)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("mass", "match"),
    [
        (
            [0.5, 2.85],
            r"`option_mass` to be a probability in \[0, 1\], but got 2\.85 for question b",
        ),
        ([-0.1, 0.5], "but got -0.1 for question a"),
        ([0.5, np.nan], "`option_mass` to be finite"),
        ([0.5], "`option_mass` to be a vector of length 2"),
    ],
)
def test_an_option_mass_that_is_no_probability_is_refused(tmp_path, mass, match):
    with pytest.raises(ValueError, match=match):
        write_table([batch([0, 1], option_mass=mass)], tmp_path / "t", provenance=MADE_BY)
    assert not (tmp_path / "t").exists()
    rounded = batch([0, 1], option_mass=[1.0000001, 1.01])
    found = write_table([rounded], tmp_path / "t", provenance=MADE_BY)
    assert found.option_mass.tolist() == [1.0, 1.0]


def test_tasks_of_ties_are_told_once(tmp_path):
    """By task, over all batches: one tie is nothing, a task of nothing else is no measurement."""
    tied = [np.zeros(2), np.full(2, -3.0)]
    batches = [batch([0], scores=tied[:1]), batch([1]), batch([2], scores=tied[1:])]
    with pytest.warns(UserWarning, match="In all rows of s the options have the same") as told:
        write_table(batches, tmp_path / "t", provenance=MADE_BY)
    assert len(told) == 1
    write_table([batch([0], scores=tied[:1]), batch([1, 2])], tmp_path / "u", provenance=MADE_BY)
    write_table([batch([0], scores=tied[:1]), batch([1])], tmp_path / "v", provenance=MADE_BY)
