"""`verify-tasks`, `run` and `answer` in turn: from free-form rows to calibrated answers."""

import json
from pathlib import Path

import free_forms
import pytest

from thermometer import Calibrator, cli
from thermometer.commands import placed
from thermometer.experiment import ModelSpec
from thermometer.free_form import free_form_row


@pytest.fixture(scope="module")
def folder(tmp_path_factory, llama_folder):
    """Questions, verdicts on the answers to them, and a checkpoint that was trained on these."""
    folder = tmp_path_factory.mktemp("answer")
    rows = [
        free_form_row(question, f"task {number}")
        for number in range(4)
        for question in free_forms.task(12, prefix=f"{number}-").questions
    ]
    (folder / "free.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "free.yaml").write_text(
        f"""
        tasks: {{source: {folder / "verify.jsonl"}}}
        small: {{model: {llama_folder}, num_layers: 2}}
        large: {{model: {llama_folder}, dtype: float32}}
        template: {{style: verify}}
        network: {{n_components: 4, n_members: 2}}
        training: {{max_steps: 4}}
        protocol: {{folds: 2}}
        trainer: {{accelerator: cpu}}
        n_resamples: 20
        out_dir: {folder / "out"}
        """
    )
    verify = ["verify-tasks", "--tasks.source", str(folder / "free.jsonl")]
    verify += ["--large.model", llama_folder]
    cli.main([*verify, "--out", str(folder / "verify.jsonl"), "--max_new_tokens", "5"])
    with pytest.warns(UserWarning, match="letters hold only"):
        cli.main(["run", "--config", str(folder / "free.yaml")])
    return folder


@pytest.fixture
def arguments(folder, llama_folder, tmp_path):
    """Of `answer`, for a file with questions of two tasks."""
    rows = [
        {"id": f"{task}{i}", "task": task, "question": f"Which is {'larger ' * i}, {task}?"}
        for task in ("new", "other")
        for i in range(5)
    ]
    (tmp_path / "new.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = ["answer", str(tmp_path / "new.jsonl"), "--checkpoint", str(folder / "out/checkpoint")]
    given += ["--large.model", llama_folder, "--max_new_tokens", "5", "--window", "2"]
    return [*given, "--out", str(tmp_path / "answers.jsonl")]


def test_answers_are_written_with_their_confidence(arguments, tmp_path, capsys):
    cli.main(arguments)
    out = tmp_path / "answers.jsonl"
    assert f"10 questions answered: {out}" in capsys.readouterr().out
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["id"] for row in rows] == [f"{t}{i}" for t in ("new", "other") for i in range(5)]
    for row in rows:
        assert row["task"] == row["id"][:-1]
        assert row["confidence"] == row["probs"]["Yes"] == pytest.approx(1 - row["probs"]["No"])
        assert row["temperature"] > 0
        assert row["answer"]


@pytest.mark.parametrize("n_lines", [0, 1, 2, 4, 5, 7, 10])
def test_a_killed_run_goes_on_to_the_same_file(arguments, tmp_path, n_lines):
    cli.main(arguments)
    out = tmp_path / "answers.jsonl"
    whole = out.read_bytes()
    lines = whole.splitlines(keepends=True)
    out.write_bytes(b"".join(lines[:n_lines]) + b'{"id": "ne')
    cli.main(arguments)
    assert out.read_bytes() == whole


def test_a_file_made_otherwise_is_not_gone_on_with(arguments, tmp_path):
    cli.main(arguments)
    with pytest.raises(SystemExit, match="made with other window"):
        cli.main([*arguments, "--window", "3"])
    (tmp_path / "new.jsonl").write_text('{"question": "Who?"}\n')
    with pytest.raises(SystemExit, match="made with other questions"):
        cli.main(arguments)


def test_a_checkpoint_for_options_is_refused_before_a_model_is_loaded(arguments, tmp_path):
    demo = Path(__file__).parents[2] / "checkpoints" / "demo"
    wrong = ["--checkpoint", str(demo), "--large.model", "./nowhere"]
    with pytest.raises(SystemExit, match="`calibrator` to be trained on answers in words"):
        cli.main([*arguments, *wrong])
    assert not (tmp_path / "answers.jsonl").exists()


def test_a_config_of_free_form_answers_is_measured(folder):
    report = json.loads((folder / "out/report/report.json").read_text())
    assert {task["task"] for task in report["tasks"]} == {f"task {i}" for i in range(4)}


@pytest.mark.parametrize(("layer", "is_own"), [(-1, True), (1, False)])
def test_a_model_that_gives_scores_and_features_is_loaded_once(
    llama_folder, tmp_path, layer, is_own
):
    spec = ModelSpec(llama_folder, dtype="float32")
    read = ModelSpec(llama_folder, dtype="float32", layer=layer)
    free_forms.calibrator_of(read.load()).save_pretrained(tmp_path / "checkpoint")
    calibrator = Calibrator.from_pretrained(tmp_path / "checkpoint")
    assert placed(spec, calibrator).reads_itself == is_own
    assert ("_lm" not in vars(calibrator.origins["features"])) == is_own
