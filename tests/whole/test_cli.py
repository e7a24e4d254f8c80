"""The command line: every config parses, stages find each other's products, mistakes are named."""

import json
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from thermometer import Calibrator, Experiment, __version__, cli
from thermometer.training import resolve

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
STAGES = ["run", "extract", "train", "evaluate"]


def write_questions(path, labelled=True):
    numbers = random.Random(0)
    rows = []
    for task in range(6):
        for number in range(12):
            a, b = numbers.sample(range(100), 2)
            row = {
                "id": f"{task}-{number}",
                "task": f"task {task}",
                "question": f"Which is larger, {a} or {b}?",
                "choices": [str(a), str(b)],
            }
            rows.append(row | {"answer": int(b > a)} if labelled else row)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def files(folder):
    """Every file of a folder with the time of its last change."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("command", "goes_on"), [("run", True), ("measure", False)])
def test_an_interrupt_is_one_line(monkeypatch, capsys, command, goes_on):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_run", interrupted)
    with pytest.raises(SystemExit) as ended:
        cli.main([command])
    assert ended.value.code == 130
    line = "thermometer: stopped" + "; the same command goes on with what is on disk" * goes_on
    assert capsys.readouterr().err == f"\n{line}\n"


def failure(capsys, arguments, entry=cli.main):
    """The one line that a command ends with."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        entry(arguments)
    printed = capsys.readouterr()
    if isinstance(ended.value.code, str):
        line = ended.value.code  # what Python prints to stderr; the status is then 1
    else:
        assert ended.value.code == 2
        line = printed.err.rstrip("\n")
    assert line.startswith("thermometer: error: ")
    assert "\n" not in line
    assert printed.out == ""
    return line


@pytest.fixture(scope="module")
def config(tmp_path_factory, llama_folder):
    """A YAML of an experiment that takes seconds."""
    folder = tmp_path_factory.mktemp("cli")
    write_questions(folder / "questions.jsonl")
    path = folder / "tiny.yaml"
    path.write_text(
        f"""
        tasks:
          source: {folder / "questions.jsonl"}
        small:
          model: {llama_folder}
          num_layers: 2
        large:
          model: {llama_folder}
          dtype: float32
        template:
          style: cloze
        network:
          n_components: 4
          n_members: 2
        training:
          max_steps: 4
        protocol:
          folds: 3
        trainer:
          accelerator: cpu
        n_resamples: 20
        out_dir: {folder / "out"}
        """
    )
    return path


@pytest.mark.parametrize(
    ("name", "field"), [("protocol", "folds"), ("template", "style"), ("reference", "model")]
)
@pytest.mark.parametrize("value", ["5", "[5]", "cloze"])
def test_one_value_where_fields_are_meant_is_told_how_to_be_given(
    config, tmp_path, capsys, name, field, value
):
    path = tmp_path / "wrong.yaml"
    path.write_text(f"{name}: {value}\n")
    line = failure(capsys, ["run", "--config", str(config), "--config", str(path)])
    assert f"as in --{name}.{field} VALUE, or in a config {name}: {{{field}: VALUE}}" in line


@pytest.fixture(scope="module")
def finished(config):
    """The folder that `run` filled."""
    cli.main(["run", "--config", str(config), "--network.hidden_size", "8"])
    return config.parent / "out"


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_is_an_experiment_for_every_stage(path, stage):
    command, fields = cli.parse([stage, "--config", str(path), "--training.max_steps", "7"])
    assert command == stage
    experiment = Experiment(**fields)  # loads nothing
    assert experiment.out_dir == f"outputs/{path.stem}"
    network, training = experiment.resolved()
    assert training.max_steps == 7
    assert network == resolve(experiment.preset, {}, {})[0]
    assert experiment.protocol.folds == 5
    assert (experiment.small or experiment.features).name
    assert (experiment.large or experiment.scores).name
    assert (experiment.template.style == "cloze") == (path.stem == "demo")


def test_every_command_is_where_the_table_says():
    for name, command in cli.COMMANDS.items():
        found = command.find(name)
        assert callable(getattr(found, name) if isinstance(found, type) else found), name


def test_measure_does_not_wait_for_the_libraries_of_language_models():
    code = "import sys; from thermometer import cli; cli.parse(['measure', 'x.csv']); "
    code += "print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "transformers", "lightning", "datasets"} & set(done.stdout.split())


def test_run_writes_tables_report_logs_and_checkpoint(finished, config):
    written = {path.relative_to(finished).as_posix() for path in files(finished)}
    assert written >= {
        "features/manifest.json",
        "scores/manifest.json",
        "report/report.html",
        "report/report.md",
        "report/report.json",
        "report/reliability.png",
        "report/temperatures.png",
        "logs/member-0/metrics.csv",
        "logs/member-1/best.safetensors",
        "checkpoint/config.json",
        "checkpoint/model.safetensors",
        "checkpoint/metrics.json",
    }
    calibrator = Calibrator.from_pretrained(finished / "checkpoint")
    shape = calibrator.thermometer.config
    assert (shape.n_components, shape.n_members, shape.hidden_size) == (4, 2, 8)
    assert calibrator.record.train_tasks == tuple(f"task {number}" for number in range(6))
    assert calibrator.record.metrics == json.loads(
        (finished / "report" / "report.json").read_text()
    )


def test_evaluate_reuses_the_tables(finished, config, capsys):
    before = files(finished / "features") | files(finished / "scores")
    report = finished / "report" / "report.json"
    report.unlink()
    cli.main(["evaluate", "--config", str(config)])
    assert report.is_file()
    assert files(finished / "features") | files(finished / "scores") == before


def test_train_and_the_script_reuse_the_tables_and_agree(finished, config, tmp_path):
    before = files(finished / "features") | files(finished / "scores")
    arguments = ["--config", str(config), "--training.max_steps", "3", "--checkpoint_dir"]
    cli.main(["train", *arguments, str(tmp_path / "command")])
    subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *arguments, str(tmp_path / "script")],
        check=True,
        capture_output=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert files(finished / "features") | files(finished / "scores") == before
    weights = [tmp_path / name / "model.safetensors" for name in ("command", "script")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_too_few_tasks_to_measure_are_refused_before_anything_is_computed(config, capsys, tmp_path):
    arguments = ["--config", str(config), "--protocol.folds", "7", "--out_dir", str(tmp_path / "o")]
    for stage in ("run", "evaluate"):
        line = failure(capsys, [stage, *arguments])
        assert "Expected at least 7 tasks (or groups of them) for 7 folds, but got 6" in line
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("stage", ["run", "evaluate", "train"])
def test_questions_without_labels_are_refused_before_anything_is_computed(
    config, capsys, tmp_path, stage
):
    write_questions(tmp_path / "new.jsonl", labelled=False)
    arguments = ["--tasks.source", str(tmp_path / "new.jsonl"), "--out_dir", str(tmp_path / "o")]
    line = failure(capsys, [stage, "--config", str(config), *arguments])
    assert (
        "`tasks` to be questions with an `answer` each, but got 72 of 72 without, first 0-0" in line
    )
    assert not (tmp_path / "o").exists()


def test_the_smallest_training_part_needs_more_questions_than_components(config, capsys, tmp_path):
    """48 of the 72 in each of three folds."""
    arguments = ["--config", str(config), "--out_dir", str(tmp_path / "o")]
    line = failure(capsys, ["run", *arguments, "--network.n_components", "48"])
    assert "to train on, which is 48, but got 48" in line
    assert not (tmp_path / "o").exists()


def test_a_thermometer_of_scores_alone_needs_no_small_model(config, tmp_path):
    arguments = ["--config", str(config), "--out_dir", str(tmp_path), "--small", "null"]
    cli.main(["run", *arguments, "--preset", "scores"])
    assert not (tmp_path / "features").exists()
    assert Calibrator.from_pretrained(tmp_path / "checkpoint").reads == {"scores"}
    assert (tmp_path / "report" / "report.html").is_file()


def test_one_model_for_both_parts_is_run_once(config, llama_folder, tmp_path):
    arguments = ["extract", "--config", str(config), "--out_dir", str(tmp_path)]
    arguments += ["--small", json.dumps({"model": llama_folder, "dtype": "float32"})]
    cli.main([*arguments, "--small.num_layers", "null"])
    assert [path.name for path in tmp_path.iterdir()] == ["outputs"]


@pytest.mark.parametrize("per", [None, "sample", "task"])
def test_calibrate_without_and_with_an_answering_model(
    finished, config, llama_folder, tmp_path, capsys, per
):
    write_questions(tmp_path / "new.jsonl", labelled=False)
    out = tmp_path / "new" / "calibrated.jsonl"
    arguments = ["calibrate", "--out", str(out), "--tasks.source", str(tmp_path / "new.jsonl")]
    answered = per is not None
    if answered:
        arguments += ["--checkpoint", str(finished / "checkpoint"), "--per", per]
        arguments += ["--large.model", llama_folder, "--large.dtype", "float32"]
        assert "`token_budget`" in failure(capsys, [*arguments, "--large.token_budget", "0"])
    else:  # a thermometer that reads hidden states only needs no answers
        chosen = ["--preset", "features", "--checkpoint_dir", str(tmp_path / "features")]
        cli.main(["train", "--config", str(config), *chosen])
        with pytest.raises(SystemExit, match=r"`--large\.model` to be given"):
            cli.main([*arguments, "--checkpoint", str(finished / "checkpoint")])
        arguments += ["--checkpoint", str(tmp_path / "features")]
    cli.main(arguments)
    printed = capsys.readouterr().out
    assert f"72 questions calibrated: {out}\nin domain   " in printed
    assert "scores are of" not in printed
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert {row["id"] for row in rows} == {f"{t}-{i}" for t in range(6) for i in range(12)}
    for row in rows:
        assert row["temperature"] > 0
        assert row["task_temperature"] > 0
        assert ("probs" in row) == answered
        if answered:
            assert sum(row["probs"]) == pytest.approx(1)
            assert row["probs"][row["answer"]] == row["confidence"] == max(row["probs"])


def test_calibrate_says_if_the_model_or_a_task_is_another(
    finished, config, llama_folder, tmp_path, capsys
):
    checkpoint = tmp_path / "checkpoint"
    shutil.copytree(finished / "checkpoint", checkpoint)
    file = checkpoint / "config.json"
    saved = json.loads(file.read_text())
    saved["targets"][0] |= {"model": "larger", "fingerprint": "another"}
    file.write_text(json.dumps(saved))
    weights = load_file(checkpoint / "model.safetensors")
    moved = {k: v + 100 * k.startswith("domain.") for k, v in weights.items()}
    save_file(moved, checkpoint / "model.safetensors")
    arguments = ["calibrate", "--checkpoint", str(checkpoint), "--out", str(tmp_path / "a.jsonl")]
    arguments += ["--tasks", json.dumps({"source": str(config.parent / "questions.jsonl")})]
    cli.main([*arguments, "--large.model", llama_folder, "--large.dtype", "float32"])
    printed = capsys.readouterr().out
    assert printed.count("but the thermometer was trained for 'larger': its") == 1
    assert "in domain   0 of 6 tasks\nwarning     task 0 is unlike the training: in " in printed


CALIBRATE = ["calibrate", "--checkpoint", "nowhere", "--out", "a.jsonl"]


@pytest.mark.parametrize("command", ["calibrate", "verify-tasks", "answer"])
def test_where_nothing_can_be_written_no_model_is_loaded(command, tmp_path, capsys, monkeypatch):
    (tmp_path / "questions.jsonl").write_text('{"question": "2 + 2?", "answers": ["4"]}\n')
    (tmp_path / "file").write_text("")
    large = ["--large.model", "./nowhere"]
    arguments = {
        "calibrate": ["--tasks.source", "builtin:capitals", "--checkpoint", "nowhere"],
        "verify-tasks": ["--tasks.source", str(tmp_path / "questions.jsonl"), *large],
        "answer": ["questions.jsonl", "--checkpoint", "nowhere", *large],
    }[command]
    monkeypatch.chdir(tmp_path)
    line = failure(capsys, [command, *arguments, "--out", str(tmp_path)])
    assert f"{tmp_path} is a folder" in line
    line = failure(capsys, [command, *arguments, "--out", "file/of/answers.jsonl"])
    assert "file/of/answers.jsonl cannot be written: file is a file, no folder" in line
    assert "nowhere" in failure(capsys, [command, *arguments, "--out", "new/answers.jsonl"])
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            [*CALIBRATE, "--large.model", "x", "--scores.table", "y"],
            "--scores.table` to be left out where --large.model is given, but got y",
        ),
        (
            ["calibrate", "--tasks", "mine.jsonl"],
            "error: --tasks: .*as in --tasks.source VALUE, or in a config tasks:",
        ),
        (["calibrate", "--large", "bundled:smollm2"], "as in --large.model VALUE"),
        (["calibrate", "--scores", "folder"], "as in --scores.table VALUE"),
        (["answer", "mine.jsonl", "--large", "my_model"], "as in --large.model VALUE"),
        (
            ["run", "--template", "chat"],
            r"--template.style VALUE, .* \(see thermometer run --help\)",
        ),
        (["calibrate", "--checkpoint", "a"], "required: --out"),
        (["measure"], "required: source "),
    ],
)
def test_how_an_argument_is_given_is_said(capsys, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.jsonl").write_text('{"question": "2 + 2?", "choices": ["4", "5"]}\n' * 2)
    assert re.search(said, failure(capsys, arguments))


@pytest.mark.parametrize("command", ["calibrate", "verify-tasks", "answer"])
def test_an_answering_model_that_is_cut_short_is_refused(command, tmp_path, capsys):
    arguments = ["--large.model", "./nowhere", "--large.num_layers", "3"]
    arguments += ["questions.jsonl"] if command == "answer" else ["--tasks.source", "q.jsonl"]
    arguments += [] if command == "verify-tasks" else ["--checkpoint", "nowhere"]
    line = failure(capsys, [command, *arguments, "--out", str(tmp_path / "out.jsonl")])
    assert "`large.num_layers` to be None, since the model answers, but got 3" in line


def test_scores_made_elsewhere_are_refused_before_a_model_is_loaded(finished, tmp_path, capsys):
    arguments = ["calibrate", "--checkpoint", str(ROOT / "checkpoints" / "llama2-chat")]
    arguments += ["--tasks.source", "builtin:capitals", "--out", str(tmp_path / "a.jsonl")]
    assert "names no template" in failure(capsys, [*arguments, "--large.model", "./nowhere"])


@pytest.mark.parametrize(
    ("flags", "key"),
    [
        (["--training.max_stepz", "3"], "max_stepz"),
        (["--network.hiden_size", "3"], "hiden_size"),
        (["--traning.max_steps", "3"], "traning.max_steps"),
        (["--small.modle", "x"], "--small.modle: No such field"),
        (["--large.modle", "x"], "--large.modle: No such field"),
        (["--tasks.names", "law"], "error: --tasks.names: Expected a tuple. Given value: law"),
        (["--tasks.sources", "x"], "--tasks.sources: No such field"),
        (["--large.template.style", "essay"], "--large.template.style: Expected one of 'letter'"),
        (["--trainer.devicez", "1"], "devicez"),
        (["--protocol.folds", "many"], "--protocol.folds: Expected an int. Given value: many"),
        (["--protocol.fraction", "0.5"], "protocol"),
        (["--preset", "fancy"], "preset"),
        (["--training.max_steps", "0"], "max_steps"),
        (["--training.max_steps", "many"], "max_steps"),
        (["--template.style", "essay"], "style"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
        (["--tasks.source", "nowhere.jsonl"], "nowhere.jsonl"),
        (["--large.num_layers", "1"], "`large.num_layers` to be None"),
        (
            ["--large.model", "./nowhere"],
            "`model` to be a folder .*'./nowhere', which is no folder",
        ),
        (["--large.dtype", "float8"], "`dtype` to be one of .*, but got 'float8'"),
        (["--small", "null"], "`small` to be a model, or else a table as `features`, since"),
        (["--network.n_components", "72"], "less than the number of questions.*which is 72, but"),
        (["--conf", "abbreviated.yaml"], "--conf"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_a_mistake_in_a_flag_is_named_in_one_line(config, tmp_path, capsys, flags, key):
    before = ["--config", str(config), "--out_dir", str(tmp_path / "out")]
    assert re.search(key, failure(capsys, ["train", *before, *flags]))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("yaml", "key"),
    [
        ("trianing: {max_steps: 3}", "trianing"),
        ("training: {max_stepz: 3}", "max_stepz"),
        ("template: {stile: cloze}", "stile"),
        ("protocol: {fold: 3}", "fold"),
        ("tasks: {source: builtin, limits: 3}", "limits"),
        ("large: {model: x, dtipe: float32}", "dtipe"),
    ],
)
def test_a_mistake_in_a_file_is_named_in_one_line(config, tmp_path, capsys, yaml, key):
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(yaml)
    for entry in (lambda a: cli.main(["run", *a]), cli.train_main):
        arguments = ["--config", str(config), "--config", str(wrong), "--out_dir", str(tmp_path)]
        assert key in failure(capsys, arguments, entry)


@pytest.mark.parametrize("flag", ["out_dir", "checkpoint_dir"])
def test_a_place_where_nothing_can_be_written_is_named_before_a_model_is_loaded(
    config, capsys, tmp_path, flag
):
    (tmp_path / "file").write_text("")
    places = {"out_dir": str(tmp_path / "out"), flag: str(tmp_path / "file")}
    given = [part for name, place in places.items() for part in (f"--{name}", place)]
    for stage in ("run", "train"):
        line = failure(capsys, [stage, "--config", str(config), *given])
        assert f"{tmp_path}/file is a file, no folder" in line
        assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_missing_command_and_an_unknown_one_are_named(capsys):
    assert "command" in failure(capsys, [])
    assert "frobnicate" in failure(capsys, ["frobnicate"])


@pytest.mark.parametrize(
    ("flags", "what"),
    [
        (["--template.style", "letter"], "template"),
        (["--small.num_layers", "1"], "num_layers"),
        (["--small.position", "mean"], "position"),
        (["--large.dtype", "bfloat16"], "dtype"),
        (["--large.model", "somewhere/else"], "model"),
        (["--small.revision", "v2"], "revision"),
        (["--tasks.limit", "5"], "questions"),
    ],
)
@pytest.mark.parametrize("stage", ["extract", "train"])
def test_a_folder_with_the_table_of_another_experiment_is_refused(
    finished, config, capsys, stage, flags, what
):
    before = files(finished)
    line = failure(capsys, [stage, "--config", str(config), *flags])
    assert f"with other {what} than" in line
    assert str(finished) in line
    assert files(finished) == before


def test_a_process_that_fails_prints_one_line_and_no_traceback():
    script = Path(sys.executable).with_name("thermometer")
    done = subprocess.run(
        [script, "measure", "nowhere.csv"], check=False, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("thermometer: error: ")
    assert "nowhere.csv" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_checkpoint_that_is_not_there(tmp_path, capsys):
    write_questions(tmp_path / "new.jsonl")
    arguments = ["calibrate", "--checkpoint", str(tmp_path), "--out", str(tmp_path / "out.jsonl")]
    line = failure(capsys, [*arguments, "--tasks.source", str(tmp_path / "new.jsonl")])
    assert str(tmp_path) in line


def test_no_command_at_all_lists_them(capsys):
    assert all(name in failure(capsys, []) for name in STAGES)


def test_the_version_names_the_libraries(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    printed = " ".join(capsys.readouterr().out.split())
    for part in (f"thermometer {__version__}", "python 3.", "torch ", "transformers "):
        assert part in printed
    assert "missing" not in printed
