"""Logs that lm-evaluation-harness 0.4.13 wrote become a table; folders of every kind."""

import json
import runpy
import shutil
from pathlib import Path

import numpy as np
import pages
import pytest
from lm_eval_logs import LOGS, STAMP, edit_results, only

from thermometer import Calibrator, cli
from thermometer.adapters.files import load_table
from thermometer.adapters.lm_eval import import_lm_eval
from thermometer.extraction import extract
from thermometer.segments.columns import read_questions
from thermometer.tables import OutputTable
from thermometer.tasks import load_tasks
from thermometer.templates import Template

FACTS = ("antonyms_verbs", "capitals_europe", "categories_animals", "plurals_things")


def rows_of(task):
    """The lines of a real log, by id."""
    (path,) = LOGS.rglob(f"samples_{task}_2*.jsonl")
    return {f"{task}/{r['doc_id']}": r for r in map(json.loads, path.read_text().splitlines())}


def results_of(run):
    (path,) = (LOGS / run).rglob("results_*.json")
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def facts(tmp_path_factory):
    return import_lm_eval(LOGS / "facts", tmp_path_factory.mktemp("facts") / "table")


@pytest.fixture
def everything(tmp_path):
    with pytest.warns(
        UserWarning, match=r"not multiple choice: plurals_written \(generate_until\)"
    ):
        return import_lm_eval(LOGS, tmp_path / "table")


def test_scores_and_labels_are_those_of_the_logs(everything):
    names = {name.split("/")[-1] for name in everything.task_names}
    assert names == {*FACTS, "animals_letters", "antonyms_mutual", "blanks"}
    rows = {key: row for name in names for key, row in rows_of(name).items()}
    assert set(everything.ids) == set(rows)
    for number, key in enumerate(everything.ids):
        doc = rows[key]["doc"]
        assert everything.labels[number] == doc["label"]
        size = len(doc.get("choices", "12"))
        logged = [float(value) for value, _ in rows[key]["filtered_resps"][:size]]
        assert everything.scores[number, :size] == pytest.approx(logged, rel=1e-6)
        assert everything.n_options[number] == size


@pytest.mark.parametrize(
    ("norm", "metric"), [("none", "acc"), ("char", "acc_norm"), ("byte", "acc_bytes")]
)
def test_accuracy_with_each_norm_is_that_of_lm_eval(tmp_path, norm, metric):
    table = import_lm_eval(LOGS / "facts", tmp_path / "table", norm=norm)
    assert table.provenance["scores"]["norm"] == norm
    right = table.scores.argmax(axis=1) == table.labels
    for task in FACTS:
        expected = results_of("facts")["results"][task][f"{metric},none"]
        assert right[table.tasks == f"facts/{task}"].mean() == pytest.approx(expected)


def test_unconditional_scores_are_differences(tmp_path):
    only(tmp_path / "log", "antonyms_mutual")
    table = import_lm_eval(tmp_path / "log", tmp_path / "table", norm="unconditional")
    for number, row in enumerate(rows_of("antonyms_mutual").values()):
        logged = np.array([float(value) for value, _ in row["filtered_resps"]])
        size = len(logged) // 2
        assert table.scores[number, :size] == pytest.approx(logged[:size] - logged[size:], rel=1e-6)


def test_provenance_tells_model_program_and_task(facts):
    made = facts.provenance["scores"]
    assert facts.provenance["features"] is None
    assert made["model"] == "SmolLM2-135M-Instruct"
    assert (made["source"], made["lm_eval_version"]) == ("lm-evaluation-harness", "0.4.13")
    assert made["model_args"] == {"pretrained": "SmolLM2-135M-Instruct", "dtype": "float32"}
    assert made["dtype"] == "float32"
    hashes = results_of("facts")["task_hashes"]
    assert {name: task["hash"] for name, task in made["tasks"].items()} == {
        f"facts/{name}": hashes[name] for name in FACTS
    }


def test_the_probability_of_all_options_counts_no_longer_one_twice(facts, tmp_path):
    """ "foots" may be "foot" and "s": what begins with another option is left out of the sum."""
    import_lm_eval(LOGS / "facts", tmp_path / "table")
    expected = {}
    for row, scores in zip(read_questions(tmp_path / "table"), facts.scores, strict=True):
        own = [
            score
            for text, score in zip(row["choices"], scores, strict=False)
            if sum(text.startswith(other) for other in row["choices"]) == 1
        ]
        expected[row["id"]] = np.exp(own).sum()
    assert facts.option_mass == pytest.approx([expected[i] for i in facts.ids], rel=1e-5)
    plain = np.exp(facts.scores).sum(axis=1)
    assert (facts.option_mass < 0.9 * plain).any()
    assert (facts.option_mass <= plain * (1 + 1e-6)).all()


def test_options_inside_the_contexts_become_choices(everything, tmp_path):
    rows = {row["id"]: row for row in read_questions(tmp_path / "table")}
    assert rows["blanks/0"]["question"] == "The pot did not fit into the box because the"
    assert rows["blanks/0"]["choices"] == ["pot was too large.", "box was too large."]
    assert everything.option_mass is None  # probabilities after different contexts do not add up


def test_questions_can_be_asked_another_model_and_joined(facts, lm, tmp_path):
    scores = import_lm_eval(LOGS / "facts", tmp_path / "scores")
    tasks = load_tasks(tmp_path / "scores" / "questions.jsonl")
    features = extract(lm, tasks, tmp_path / "features", template=Template("cloze"), scores=False)
    joined = features.join(scores)
    assert joined.features.shape == (40, lm.n_features)
    assert np.array_equal(joined.labels, [facts.labels[facts.ids.index(i)] for i in joined.ids])


def test_the_commands_import_measure_train_and_calibrate(tmp_path, capsys):
    folder = tmp_path / "table"
    cli.main(["import-lm-eval", str(LOGS), "--out_dir", str(folder)])
    said = capsys.readouterr().out
    assert "facts/capitals_europe" in said
    assert "left out, not multiple choice: plurals_written" in said
    assert load_table(folder).ids == OutputTable.open(folder).ids
    cli.main(["measure", str(folder), "--n_resamples", "100"])
    assert "ECE" in capsys.readouterr().out
    quick = ["--training.max_steps", "3", "--n_resamples", "20", "--protocol.folds", "2"]
    run = ["run", "--scores.table", str(folder), "--preset", "scores", *quick]
    cli.main([*run, "--methods", "[platt, batch]", "--out_dir", str(tmp_path / "out")])
    said = capsys.readouterr().out
    assert "Platt" in said
    assert "with every method but batch calibration (" in said
    checkpoint = tmp_path / "out" / "checkpoint"
    arguments = ["calibrate", "--checkpoint", str(checkpoint), "--scores.table", str(folder)]
    cli.main([*arguments, "--out", str(tmp_path / "calibrated.jsonl")])
    rows = [json.loads(line) for line in (tmp_path / "calibrated.jsonl").read_text().splitlines()]
    table = load_table(folder)
    assert {row["id"] for row in rows} == set(table.ids)
    expected = Calibrator.from_pretrained(checkpoint).temperature(table)
    found = {row["id"]: row["temperature"] for row in rows}
    assert [found[i] for i in table.ids] == pytest.approx(expected, rel=1e-6)


def test_missing_files_are_named(tmp_path):
    _, results = only(tmp_path / "log", "plurals_things")
    results.unlink()
    with pytest.raises(FileNotFoundError, match=f"no {results.name} beside it"):
        import_lm_eval(tmp_path / "log", tmp_path / "table")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="--log_samples"):
        import_lm_eval(tmp_path / "empty", tmp_path / "table")
    with pytest.raises(FileNotFoundError, match="there is no"):
        import_lm_eval(tmp_path / "nowhere", tmp_path / "table")
    with pytest.raises(ValueError, match="a folder or a results"):
        import_lm_eval(Path(__file__), tmp_path / "table")


def test_a_task_measured_twice_is_refused_unless_one_run_is_named(tmp_path):
    samples, results = only(tmp_path / "log", "plurals_things")
    for path in (samples, results):
        stem = path.name[: path.name.index("2026")]
        shutil.copy(path, path.with_name(f"{stem}{STAMP}{path.suffix}"))
    with pytest.raises(ValueError, match="measured twice") as error:
        import_lm_eval(tmp_path / "log", tmp_path / "table")
    assert samples.name in str(error.value)
    assert STAMP in str(error.value)
    table = import_lm_eval(tmp_path / "log" / f"results_{STAMP}.json", tmp_path / "table")
    made = table.provenance["scores"]["tasks"]["facts/plurals_things"]
    assert made["file"] == f"samples_plurals_things_{STAMP}.jsonl"


def test_two_models_are_refused(tmp_path):
    only(tmp_path / "log", "plurals_things")
    folder = tmp_path / "log" / "other"
    _, results = only(folder, "antonyms_verbs")
    edit_results(results, lambda content: content.update(model_name="other"))
    with pytest.raises(ValueError, match=r"one model, but model_name is .*'other'"):
        import_lm_eval(tmp_path / "log", tmp_path / "table")


def test_a_norm_that_the_log_does_not_hold_is_refused(tmp_path):
    for task, norm in (("plurals_things", "unconditional"), ("blanks", "char")):
        only(tmp_path / task, task)
        with pytest.raises(ValueError, match=f"norm '{norm}' cannot be had"):
            import_lm_eval(tmp_path / task, tmp_path / "table", norm=norm)
    with pytest.raises(ValueError, match="Expected `norm` to be one of"):
        import_lm_eval(LOGS / "facts", tmp_path / "table", norm="token")


def test_only_an_earlier_import_is_replaced(tmp_path):
    out = tmp_path / "table"
    import_lm_eval(LOGS / "facts", out)
    assert len(import_lm_eval(LOGS / "facts", out, norm="char")) == 40
    assert OutputTable.open(out).provenance["scores"]["norm"] == "char"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(ValueError, match=r"one of an earlier import, but got .*mine"):
        import_lm_eval(LOGS / "facts", tmp_path / "mine")
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"


@pytest.mark.parametrize("dtype", ["torch.bfloat16", "torch.float16"])
def test_a_coarse_softmax_is_told(tmp_path, dtype):
    _, results = only(tmp_path / "log", "plurals_things")
    edit_results(results, lambda content: content["config"].update(model_dtype=dtype))
    with pytest.warns(UserWarning, match="softmax_dtype=float32"):
        import_lm_eval(tmp_path / "log", tmp_path / "table")
    arguments = {"softmax_dtype": "float32"}
    edit_results(results, lambda content: content["config"].update(model_args=arguments))
    table = import_lm_eval(tmp_path / "log", tmp_path / "table")
    assert table.provenance["scores"]["dtype"] == dtype.removeprefix("torch.")


def test_the_outermost_group_names_a_task(tmp_path):
    _, results = only(tmp_path / "log", "plurals_things")
    groups = {"words": ["plurals_things"], "all": ["words", "all"]}
    edit_results(results, lambda content: content.update(group_subtasks=groups))
    assert import_lm_eval(tmp_path / "log", tmp_path / "table").task_names == (
        "all/plurals_things",
    )


ROOT = Path(__file__).parents[2]


def test_the_example_runs_and_reports_the_left_out_task(tmp_path, capsys):
    example = runpy.run_path(str(ROOT / "examples" / "lm_eval_logs.py"))
    with pytest.warns(UserWarning, match="not multiple choice"):
        example["main"](str(LOGS), str(tmp_path))
    assert "facts/plurals_things: accuracy 0.30" in capsys.readouterr().out
    assert (tmp_path / "report" / "report.html").is_file()
    assert (tmp_path / "checkpoint" / "model.safetensors").is_file()


@pytest.mark.slow
def test_the_page_runs(tmp_path):
    page = "docs/lm_eval.md"
    assert len(pages.blocks(page, "python")) == 2
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    namespace = pages.run_in(tmp_path, page).names
    assert len(namespace["result"].temperature) == 40
    assert namespace["both"].features.shape == (40, 576)
