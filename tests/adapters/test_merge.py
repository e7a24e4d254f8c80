"""Tables of several machines made one: rows, order, types, joins, and everything refused."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from thermometer import cli, table_files
from thermometer.adapters import tables
from thermometer.adapters.tables import merge
from thermometer.tables import OutputTable
from thermometer.tasks import load_tasks

LARGE = {"model": "large", "template_digest": "t1"}
SMALL = {"model": "small", "template_digest": "t2"}


def question(number):
    choices = ["x", "y", "z"][: 2 + number % 2]
    row = {"id": f"q{number}", "task": "st"[number % 2], "question": f"{number}?"}
    return {**row, "choices": choices, **({"answer": number % 2} if number % 3 else {})}


def table(folder, numbers, *, parts=2, kind="both", dtype=np.float32, **made_by):
    """A finished table; what a question scores follows from its number."""
    folder.mkdir(parents=True)
    rows = [question(number) for number in numbers]
    sizes = {}
    for part, chosen in enumerate(np.array_split(np.array(numbers)[::-1], parts)):
        own = [question(int(number)) for number in chosen]
        columns = {
            "id": [row["id"] for row in own],
            "task": [row["task"] for row in own],
            "label": [row.get("answer") for row in own],
            "n_prompt_tokens": [int(number) for number in chosen],
        }
        if kind != "features":
            columns["scores"] = [
                [-float(n), 0.1 * n, 1.0][: len(r["choices"])]
                for n, r in zip(chosen, own, strict=True)
            ]
            columns["option_mass"] = [0.5] * len(own)
        if kind != "scores":
            columns["features"] = np.stack([chosen, chosen + 0.5], axis=1).astype(dtype)
        name = f"part-{part:05d}.parquet"
        table_files.write_part(folder / name, columns)
        sizes[name] = len(own)
    provenance = {
        "features": None if kind == "scores" else made_by.get("features", SMALL),
        "scores": None if kind == "features" else made_by.get("scores", LARGE),
    }
    digest = table_files.write_questions(folder, rows)
    table_files.finish(folder, sizes, provenance, digest)
    return folder


def questions_file(path, numbers):
    path.write_text("".join(json.dumps(question(number)) + "\n" for number in numbers))
    return path


def numbers_of(found):
    return [int(identifier[1:]) for identifier in found.ids]


def assert_is(folder, numbers, atol=0.0):
    """The table holds these questions in this order, each with its own numbers."""
    found = OutputTable.open(folder)
    assert numbers_of(found) == list(numbers)
    np.testing.assert_allclose(found.features[:, 0], numbers, atol=atol)
    np.testing.assert_array_equal(found.scores[:, 0], -np.array(numbers, dtype=float))
    assert found.labels.tolist() == [n % 2 if n % 3 else -1 for n in numbers]
    assert found.n_options.tolist() == [2 + n % 2 for n in numbers]
    assert found.provenance == {"features": SMALL, "scores": LARGE}
    assert found.option_mass.tolist() == [0.5] * len(numbers)
    return found


def test_one_after_another(tmp_path):
    a = table(tmp_path / "a", range(5, 12), parts=3)
    b = table(tmp_path / "b", [2, 40, 3], parts=1)
    before = {path: path.read_bytes() for path in [*a.iterdir(), *b.iterdir()]}
    merged = merge([a, b], tmp_path / "out" / "both")
    assert (merged.n_questions, merged.missing) == (10, ())
    found = assert_is(merged.folder, [*range(5, 12), 2, 40, 3])
    rows = table_files.read_questions(merged.folder / "questions.jsonl")
    assert found.digest == table_files.questions_digest(rows)
    assert {path: path.read_bytes() for path in before} == before
    first = pq.read_table(merged.folder / "part-00000.parquet")
    assert first["n_prompt_tokens"].to_pylist() == [11, 10, 9]


def test_one_table_alone_is_itself(tmp_path):
    a = table(tmp_path / "a", range(6))
    assert_is(merge([str(a)], tmp_path / "out").folder, range(6))


def test_features_of_some_join_scores_of_others(tmp_path):
    features = [
        table(tmp_path / "f1", [0, 1, 2], kind="features"),
        table(tmp_path / "f2", [3, 4], kind="features", parts=1),
    ]
    scores = [
        table(tmp_path / "s1", [4, 2], kind="scores"),
        table(tmp_path / "s2", [0, 3, 1], kind="scores"),
    ]
    merged = merge([scores[0], *features, scores[1]], tmp_path / "out")
    assert_is(merged.folder, range(5))


def test_the_questions_give_the_order(tmp_path):
    a, b = table(tmp_path / "a", [4, 1, 2]), table(tmp_path / "b", [3, 0], parts=1)
    file = questions_file(tmp_path / "q.jsonl", range(5))
    merged = merge([a, b], tmp_path / "out", questions=file)
    order = [q.id for task in load_tasks(file) for q in task.questions]
    assert order == ["q0", "q2", "q4", "q1", "q3"]  # by task
    assert_is(merged.folder, [0, 2, 4, 1, 3])


def test_missing_questions_are_named_or_written_to_a_file_that_can_be_extracted(tmp_path):
    a = table(tmp_path / "a", [1, 2])
    file = questions_file(tmp_path / "q.jsonl", range(20))
    with pytest.raises(ValueError, match=r"all 20 questions .* 18 are missing: q0, .*q3, …"):
        merge([a], tmp_path / "out", questions=file)
    assert not (tmp_path / "out").exists()
    merged = merge([a], tmp_path / "out", questions=file, allow_missing=True)
    assert_is(merged.folder, [2, 1])
    tasks = load_tasks(merged.folder / "missing.jsonl")
    assert tuple(q.id for task in tasks for q in task.questions) == merged.missing
    assert len(merged.missing) == 18


def test_questions_that_nobody_asked_for(tmp_path):
    a = table(tmp_path / "a", [1, 2])
    with pytest.raises(ValueError, match=r"1 are only in the tables or only in .*q\.jsonl: q2"):
        merge([a], tmp_path / "out", questions=questions_file(tmp_path / "q.jsonl", [1]))
    other = tmp_path / "other.jsonl"
    other.write_text(json.dumps({**question(1), "question": "Else?"}))
    with pytest.raises(ValueError, match=r"Expected q1 to be the same in the tables and .*other"):
        merge([table(tmp_path / "b", [1], parts=1)], tmp_path / "out", questions=other)


def test_half_and_single_precision_become_single(tmp_path):
    a = table(tmp_path / "a", [1, 2], dtype=np.float16)
    b = table(tmp_path / "b", [3], parts=1)
    merged = merge([a, b], tmp_path / "mixed")
    assert_is(merged.folder, [1, 2, 3])
    kind = pq.read_schema(merged.folder / "part-00000.parquet").field("features").type
    assert pa.types.is_float32(kind.value_type)
    kept = merge([a], tmp_path / "half")
    kind = pq.read_schema(kept.folder / "part-00000.parquet").field("features").type
    assert pa.types.is_float16(kind.value_type)


def test_wider_types_and_columns_of_one_table_only(tmp_path):
    """As another program may write: float64 scores, and no token counts or option mass."""
    a, b = table(tmp_path / "a", [1, 2], parts=1), table(tmp_path / "b", [3], parts=1)
    file = b / "part-00000.parquet"
    data = pq.read_table(file).drop_columns(["n_prompt_tokens", "option_mass"])
    precise = pa.array([[-3.0, 1 / 3, 1.0]], pa.large_list(pa.float64()))
    place = data.column_names.index("scores")
    pq.write_table(data.set_column(place, "scores", precise), file)
    found = OutputTable.open(merge([a, b], tmp_path / "out").folder)
    assert numbers_of(found) == [1, 2, 3]
    assert found.scores[2, 1] == 1 / 3
    assert found.option_mass is None


def test_parts_of_many_rows_are_streamed(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "ROWS", 3)
    a = table(tmp_path / "a", range(10), parts=1)
    merged = merge([a], tmp_path / "out")
    sizes = json.loads((merged.folder / "manifest.json").read_text())["parts"]
    assert list(sizes.values()) == [3, 3, 3, 1]
    assert_is(merged.folder, range(10))


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        (("both", "features"), "features and scores in .*a, features in .*b"),
        (("scores", "both"), "scores in .*a, features and scores in .*b"),
    ],
)
def test_tables_that_do_not_go_together(tmp_path, kinds, message):
    a, b = (
        table(tmp_path / name, [i], parts=1, kind=k)
        for i, (name, k) in enumerate(zip("ab", kinds, strict=True))
    )
    with pytest.raises(ValueError, match=f"with the same columns, or some .* got {message}"):
        merge([a, b], tmp_path / "out")


def test_tables_of_different_questions_do_not_join(tmp_path):
    features = table(tmp_path / "f", [1, 2], kind="features")
    scores = table(tmp_path / "s", [1, 3], kind="scores")
    with pytest.raises(ValueError, match=r"2 are only in the features or only in .*: q2, q3"):
        merge([features, scores], tmp_path / "out")


def test_a_question_twice(tmp_path):
    a, b = table(tmp_path / "a", [1, 2]), table(tmp_path / "b", [2, 3])
    with pytest.raises(ValueError, match=r"once, but 'q2' is in .*a and in .*b"):
        merge([a, b], tmp_path / "out")
    with pytest.raises(ValueError, match=r"once, but 'q1' is in .*a and in .*a"):
        merge([a, a], tmp_path / "out")


def test_other_models_are_named(tmp_path):
    a = table(tmp_path / "a", [1], parts=1)
    b = table(tmp_path / "b", [2], parts=1, scores={**LARGE, "template_digest": "t9"})
    with pytest.raises(
        ValueError,
        match=r"scores of one origin, but template_digest is 't1' in .*a and 't9' in .*b",
    ):
        merge([a, b], tmp_path / "out")


def test_features_of_other_widths(tmp_path):
    a, b = (table(tmp_path / n, [i], parts=1, kind="features") for i, n in enumerate("ab"))
    file = b / "part-00000.parquet"
    data = pq.read_table(file)
    wide = pa.FixedSizeListArray.from_arrays(pa.array(np.ones(3, np.float32)), 3)
    pq.write_table(data.set_column(data.column_names.index("features"), "features", wide), file)
    with pytest.raises(ValueError, match="features of one width"):
        merge([a, b], tmp_path / "out")


def damage_manifest(folder):
    (folder / "manifest.json").unlink()


def damage_part(folder):
    file = folder / "part-00001.parquet"
    file.write_bytes(file.read_bytes()[:-9])


def damage_row_count(folder):
    file = folder / "part-00001.parquet"
    pq.write_table(pq.read_table(file).slice(1), file)


def damage_ids(folder):
    file = folder / "part-00001.parquet"
    data = pq.read_table(file)
    pq.write_table(data.set_column(0, "id", pa.array(["q1"] * len(data))), file)


def damage_scores(folder):
    file = folder / "part-00001.parquet"
    data = pq.read_table(file)
    rows = [[float("nan")] * len(row) for row in data["scores"].to_pylist()]
    place = data.column_names.index("scores")
    pq.write_table(data.set_column(place, "scores", pa.array(rows)), file)


def damage_labels(folder):
    file = folder / "part-00001.parquet"
    data = pq.read_table(file)
    pq.write_table(data.set_column(2, "label", pa.array([1] * len(data))), file)


def damage_questions(folder):
    questions_file(folder / "questions.jsonl", [1])


def lose_part(folder):
    (folder / "part-00001.parquet").unlink()


def lose_column(folder):
    file = folder / "part-00001.parquet"
    pq.write_table(pq.read_table(file).drop_columns(["features"]), file)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_manifest, "cut short"),
        (damage_part, r"part-00001\.parquet: damaged"),
        (damage_row_count, r"part-00001\.parquet: expected 2 rows, but got 1"),
        (damage_ids, r"part-00001\.parquet: .*'q1'.* (twice|2 times)|'q1' 2 times"),
        (damage_scores, "finite, but got nan for question q"),
        (damage_labels, "expected the label of question"),
        (damage_questions, "not the questions that the manifest was made for"),
        (lose_part, r"part-00001\.parquet: the manifest names it, but it is missing"),
        (lose_column, "parts with the same columns"),
    ],
)
def test_damaged_tables_leave_nothing_half_written(tmp_path, damage, message):
    a, b = table(tmp_path / "a", [7, 8, 9]), table(tmp_path / "b", [0, 2, 6, 4])
    damage(b)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        merge([a, b], tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_folders_that_hold_something_are_left_alone(tmp_path):
    a = table(tmp_path / "a", [1, 2])
    for taken in (a, a / "manifest.json"):
        with pytest.raises(ValueError, match="`out_dir` to be a folder that holds nothing yet"):
            merge([a], taken)
    (tmp_path / "empty").mkdir()
    assert_is(merge([a], tmp_path / "empty").folder, [1, 2])
    with pytest.raises(ValueError, match="at least one table"):
        merge([], tmp_path / "out")
    with pytest.raises(TypeError, match="one string"):
        merge(str(a), tmp_path / "out")


def test_the_command(tmp_path, capsys):
    a, b = table(tmp_path / "a", [1, 2]), table(tmp_path / "b", [3], parts=1)
    file = questions_file(tmp_path / "q.jsonl", range(5))
    arguments = [
        "merge",
        str(a),
        str(b),
        "--out_dir",
        str(tmp_path / "out"),
        "--questions",
        str(file),
    ]
    with pytest.raises(SystemExit, match="2 are missing: q0, q4"):
        cli.main(arguments)
    cli.main([*arguments, "--allow_missing"])
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("3 questions of 2 tables: ")
    assert out[1].startswith("2 missing: ")
    assert_is(tmp_path / "out", [2, 1, 3])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_partition_of_a_table_is_the_table(tmp_path_factory, data):
    numbers = data.draw(st.lists(st.integers(0, 99), unique=True, min_size=1, max_size=9))
    root = tmp_path_factory.mktemp("merge")
    folders = []
    for kind in data.draw(st.sampled_from([("both",), ("features", "scores")])):
        owner = [data.draw(st.integers(0, 2)) for _ in numbers]
        for machine in sorted(set(owner)):
            own = [n for n, place in zip(numbers, owner, strict=True) if place == machine]
            folder = root / f"{kind}{machine}"
            folders.append(table(folder, own, parts=min(2, len(own)), kind=kind))
    found = OutputTable.open(merge(folders, root / "out").folder)
    order = [numbers_of(found).index(number) for number in numbers]
    whole = OutputTable.open(table(root / "whole", numbers, parts=1))
    for name in ("scores", "features", "labels", "option_mass"):
        ours, theirs = getattr(found.select(order), name), getattr(whole, name)
        np.testing.assert_array_equal(ours, theirs)
    assert found.digest == whole.digest
