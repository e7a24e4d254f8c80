"""An experiment over tables on disk, over models and tables, and stage by stage."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tiny

from thermometer import Calibrator, Experiment, OutputTable, Protocol, Template, cli
from thermometer.adapters.files import load_table
from thermometer.adapters.tables import write_table
from thermometer.experiment import ModelSpec, TableSpec
from thermometer.tasks import TaskSource

FAST = {
    "network": {"n_members": 1, "n_components": 3, "hidden_size": 4},
    "training": {"max_steps": 3},
    "protocol": Protocol(folds=2),
    "template": Template("cloze"),
    "trainer": {"accelerator": "cpu", "enable_progress_bar": False},
    "n_resamples": 10,
}
BATCH_IDS = [f"{task}-{i}" for task in range(4) for i in range(8)]


def batch(n=32):
    """Columns of a table of 4 tasks, with a feature and scores."""
    rng = np.random.default_rng(0)
    return {
        "id": BATCH_IDS[:n],
        "task": [f"task {i // 8}" for i in range(n)],
        "question": [f"Which is larger, {i} or {i + 1}?" for i in range(n)],
        "choices": [[str(i), str(i + 1)] for i in range(n)],
        "answer": rng.integers(0, 2, n),
        "scores": rng.normal(size=(n, 2)) * 3,
        "features": rng.normal(size=(n, 6)).astype(np.float32),
    }


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llama")
    tiny.save("llama", folder)
    return str(folder)


@pytest.fixture
def tables(tmp_path):
    """Folders with the features, with the scores, and with both."""
    made = {"features": {"model": "small"}, "scores": {"model": "large"}}
    for name in ("features", "scores", "both"):
        columns = batch()
        if name != "both":
            columns.pop("scores" if name == "features" else "features")
        its = {k: v for k, v in made.items() if name in (k, "both")}
        write_table([columns], tmp_path / name, provenance=its)
    return tmp_path


def experiment(tables, **changes):
    return Experiment(
        **{
            "scores": TableSpec(str(tables / "scores")),
            "features": TableSpec(str(tables / "features")),
            "out_dir": str(tables / "out"),
            **FAST,
            **changes,
        }
    )


def test_two_tables_are_joined_or_one_holds_both(tables, capsys):
    report = experiment(tables).run()
    printed = capsys.readouterr().out
    assert report.verdict.split(".")[0] in " ".join(printed.split())
    assert f"report      {tables}/out/report/report.html" in printed
    calibrator = Calibrator.from_pretrained(tables / "out" / "checkpoint")
    assert (calibrator.record.features["model"], calibrator.target["model"]) == ("small", "large")
    assert {path.name for path in (tables / "out").iterdir()} == {"report", "checkpoint", "logs"}
    both = TableSpec(str(tables / "both"))
    joined = experiment(tables).extract()
    for features in (None, both):
        whole = experiment(tables, scores=both, features=features).extract()
        assert whole.ids == joined.ids
        assert np.array_equal(whole.features, joined.features)
        assert np.array_equal(whole.scores, joined.scores)


def test_stages_one_by_one_leave_what_run_leaves(llama, tables):
    """Features of a model that is asked the questions of the table, from the scores on disk."""
    small = ModelSpec(llama, dtype="float32")
    whole, staged = (
        experiment(tables, features=None, small=small, out_dir=str(tables / name))
        for name in ("whole", "staged")
    )
    whole.run()
    staged.extract()
    staged.evaluate()
    staged.train()
    folders = [tables / name / "checkpoint" for name in ("whole", "staged")]
    names = [sorted(path.name for path in folder.iterdir()) for folder in folders]
    assert names[0] == names[1]
    assert {"metrics.json", "reliability.png", "temperatures.png", "README.md"} <= set(names[0])
    dates = [json.loads((folder / "metrics.json").read_text())["created"] for folder in folders]
    for name in names[0]:
        one, other = (
            (folder / name).read_bytes().replace(date.encode(), b"")
            for folder, date in zip(folders, dates, strict=True)
        )
        assert one == other, name


@pytest.mark.parametrize("changed", ["training", "scores", "nothing"])
def test_a_report_of_something_else_is_not_stored_with_a_checkpoint(tables, changed):
    measured = experiment(tables)
    measured.evaluate()
    if changed == "scores":
        columns = batch()
        columns["scores"] = columns["scores"] * 2
        columns.pop("features")
        write_table([columns], tables / "other", provenance={"scores": {"model": "large"}})
        measured = replace(measured, scores=TableSpec(str(tables / "other")))
    if changed == "training":
        measured = replace(measured, training={"max_steps": 4})
    calibrator = measured.train()
    assert (
        bool(calibrator.record.metrics)
        == bool(calibrator.record.pictures)
        == (changed == "nothing")
    )


def test_a_damaged_report_is_named_before_anything_is_trained(tables):
    measured = experiment(tables)
    measured.evaluate()
    (tables / "out" / "report" / "report.json").write_text("{")
    with pytest.raises(ValueError, match=r"report\.json: "):
        measured.train()
    assert not (tables / "out" / "logs").exists()


def test_other_methods_stand_beside_the_thermometer(tables):
    report = experiment(tables, methods=("isotonic", "batch")).evaluate()
    expected = ["uncalibrated", "pooled", "isotonic", "batch", "thermometer", "thermometer_task"]
    assert list(report.methods) == [*expected, "oracle"]
    assert report.difference("thermometer", "isotonic").mean_over_tasks["nll"]
    text = (tables / "out" / "report" / "report.md").read_text()
    assert "a rising step function" in text
    assert "15 equal-mass bins" not in text
    with pytest.raises(ValueError, match=r"`methods` to be one of 'batch', .*, but got 'magic'"):
        experiment(tables, methods=("magic",))


def test_tasks_choose_rows_of_a_table_and_must_be_the_same_questions(tables):
    file = tables / "scores" / "questions.jsonl"
    chosen = TaskSource(str(file), names=("task [13]",))
    table = experiment(tables, tasks=chosen).extract()
    assert table.task_names == ("task 1", "task 3")
    full = load_table(tables / "scores")
    assert np.array_equal(table.scores, full.of_tasks(table.task_names).scores)
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    other = tables / "other.jsonl"

    def refused(rows):
        other.write_text("".join(json.dumps(row) + "\n" for row in rows))
        with pytest.raises(ValueError, match="`tasks` to be questions") as error:
            experiment(tables, tasks=TaskSource(str(other))).extract()
        return str(error.value)

    assert "1 with another text, task or label, first 0-0" in refused(
        [{**rows[0], "question": "Another?"}, *rows[1:]]
    )
    assert "first 0-1" in refused([rows[0], {**rows[1], "answer": 1 - rows[1]["answer"]}])
    assert "1 of 33 that it lacks, first new" in refused([*rows, {**rows[0], "id": "new"}])


def test_one_file_has_labels_but_no_texts(llama, tables):
    file = tables / "recorded.jsonl"
    table = load_table(tables / "scores")
    columns = (table.ids, table.tasks.tolist(), table.labels.tolist(), table.scores.tolist())
    rows = [
        dict(zip(("id", "task", "label", "scores"), row, strict=True))
        for row in zip(*columns, strict=True)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    scores = TableSpec(str(file))
    found = experiment(tables, scores=scores, features=None, preset="scores", network={}).train()
    assert found.target["model"] == "recorded"
    small = ModelSpec(llama, dtype="float32")
    with pytest.raises(ValueError, match=r"`tasks` to be given, since .*recorded\.jsonl has no te"):
        experiment(tables, scores=scores, features=None, small=small).extract()
    with pytest.raises(ValueError, match=r"`features` to be given, since .* without features"):
        experiment(tables, scores=scores, features=None).extract()
    asked = TaskSource(str(tables / "scores" / "questions.jsonl"))
    joined = experiment(tables, scores=scores, features=None, small=small, tasks=asked).extract()
    assert joined.ids == table.ids
    assert joined.features.shape == (32, 32)


def test_tables_that_do_not_go_together_or_have_no_labels_are_refused(tables):
    columns = batch()
    columns.pop("features")
    for name, changed in (
        ("fewer", {k: v[:16] for k, v in columns.items()}),
        ("unlabelled", columns | {"answer": np.full(32, -1)}),
        ("texts", columns | {"question": ["Which?"] * 32}),
    ):
        write_table([changed], tables / name, provenance={"scores": {"model": "large"}})

    def of(name):
        return experiment(tables, scores=TableSpec(str(tables / name)))

    with pytest.raises(ValueError, match="16 are in one only"):
        of("fewer").train()
    with pytest.raises(ValueError, match=r"the texts of .* differ"):
        of("texts").train()
    with pytest.raises(ValueError, match=r"`scores` .* `answer` each, but got 32 of 32 without"):
        replace(of("unlabelled"), features=None, preset="scores", network={}).train()
    with pytest.raises(FileNotFoundError, match="nowhere"):
        of("nowhere").train()


def test_each_array_comes_from_a_model_or_from_a_table(tables):
    table, model = TableSpec("b"), ModelSpec("a")
    with pytest.raises(ValueError, match="`large` to be a model, or else a table as `scores`, but"):
        experiment(tables, scores=None)
    with pytest.raises(ValueError, match="`scores` to be None where the model `large` is given"):
        experiment(tables, large=model)
    with pytest.raises(ValueError, match="`features` to be None where the model `small` is given"):
        experiment(tables, small=model)
    with pytest.raises(ValueError, match="`reference_scores` to be None where the model `refer"):
        experiment(tables, preset="reference", reference=model, reference_scores=table)
    with pytest.raises(ValueError, match="`tasks` to be given, since no table `scores` has some"):
        experiment(tables, scores=None, large=model)
    with pytest.raises(ValueError, match="`reference` to be a model, or else a table as `refer"):
        experiment(tables, preset="reference")
    with pytest.raises(ValueError, match="`reference_scores` to be None, since the preset 'defau"):
        experiment(tables, reference_scores=table)


@pytest.mark.parametrize("kind", ["both", "scores"])
def test_a_checkpoint_calibrates_a_table(llama, tables, capsys, kind):
    """With its features, or by the small model, which is asked the table's questions."""
    if kind == "both":
        experiment(tables, features=None, scores=TableSpec(str(tables / "both"))).train()
    else:
        experiment(tables, features=None, small=ModelSpec(llama, dtype="float32")).train()
    checkpoint, out = tables / "out" / "checkpoint", tables / "calibrated.jsonl"
    arguments = ["calibrate", "--checkpoint", str(checkpoint), "--out", str(out)]
    cli.main([*arguments, "--scores.table", str(tables / kind)])
    assert f"32 questions calibrated: {out}" in capsys.readouterr().out
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert sorted(row["id"] for row in rows) == sorted(BATCH_IDS)
    if kind == "both":
        table = OutputTable.open(tables / "both")
    else:
        table = OutputTable.open(tables / "out" / "features").join(load_table(tables / "scores"))
    expected = Calibrator.from_pretrained(checkpoint).temperature(table)
    by_id = dict(zip(table.ids, zip(expected, table.scores, strict=True), strict=True))
    for row in rows:
        temperature, scores = by_id[row["id"]]
        assert row["temperature"] == pytest.approx(temperature, rel=1e-4)
        odds = np.exp(scores / temperature)
        assert row["probs"] == pytest.approx(odds / odds.sum(), rel=1e-4)
    questions = tables / kind / "questions.jsonl"
    cli.main(
        [*arguments, "--scores.table", str(tables / kind), "--tasks.source", str(questions),
         "--tasks.names", "[task 2]"]
    )  # fmt: skip
    assert len(out.read_text().splitlines()) == 8
    with pytest.raises(SystemExit, match=r"`--tasks\.source` to be given, or else --scores\.table"):
        cli.main(arguments)
