"""What is fuzzed: every place where the package reads files, with a good sample of each."""

import contextlib
import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from harness import Target

import thermometer as th
from thermometer import cli, recalibrators, table_commands, table_files
from thermometer.adapters.api_logprobs import option_probabilities
from thermometer.adapters.files import load_table, read_answers
from thermometer.adapters.lm_eval import import_lm_eval
from thermometer.checkpoint import TrainingRecord
from thermometer.free_form import load_free_form
from thermometer.monitoring import Monitor
from thermometer.network import Thermometer
from thermometer.protocols import Protocol
from thermometer.reports.report import Report
from thermometer.routing import Bands, Router
from thermometer.signals.ensemble import SignalEnsemble

REPOSITORY = Path(__file__).resolve().parents[2]
QUESTIONS = [
    {
        "id": f"q{i}",
        "task": f"task {i % 3}",
        "question": f"Which is larger, {i} or {i + 1}?",
        "choices": [f"{i}", f"{i + 1}", "neither"][: 2 + i % 2],
        "answer": 1,
        "split": "test" if i % 4 else "dev",
    }
    for i in range(12)
]


def _table_rows():
    return [{k: v for k, v in row.items() if k != "split"} for row in QUESTIONS]


def make_table(folder):
    rng = np.random.default_rng(0)
    rows = _table_rows()
    for number, part in enumerate((rows[:8], rows[8:])):
        columns = {
            "id": [row["id"] for row in part],
            "task": [row["task"] for row in part],
            "label": [row["answer"] for row in part],
            "n_prompt_tokens": [9] * len(part),
            "scores": [rng.normal(size=len(row["choices"])).tolist() for row in part],
            "option_mass": [0.9] * len(part),
            "features": rng.normal(size=(len(part), 4)).astype(np.float32),
        }
        table_files.write_part(folder / f"part-{number:05d}.parquet", columns)
    made = {"features": {"model": "small"}, "scores": {"model": "large"}}
    digest = table_files.write_questions(folder, rows)
    parts = {"part-00000.parquet": 8, "part-00001.parquet": 4}
    table_files.finish(folder, parts, made, digest)


def _check_table(table):
    assert len(table) >= 1
    assert len(set(table.ids)) == len(table)
    if table.features is not None:
        assert np.isfinite(table.features).all()
    if table.scores is not None:
        probs = th.scale_scores(table.scores, 2.0)
        assert np.allclose(probs.sum(axis=1), 1)
        assert (table.labels < table.n_options).all()


def read_table(folder):
    _check_table(th.OutputTable.open(folder))


def make_questions(folder):
    lines = [json.dumps(row) for row in QUESTIONS]
    (folder / "questions.jsonl").write_text("\n".join(lines) + "\n")


def read_questions(folder):
    for task in th.load_tasks(folder / "questions.jsonl", demonstrations="dev"):
        prompts = [th.Template(style).render_task(task) for style in ("letter", "cloze")]
        assert all(len(rendered) == len(task) for rendered in prompts)
        for question in task.questions:
            assert len(question.options) >= 2
            assert question.answer is None or 0 <= question.answer < len(question.options)


def make_scores(folder):
    rng = np.random.default_rng(0)
    with (folder / "scores.jsonl").open("w") as file:
        for row in _table_rows():
            scores = rng.normal(size=len(row["choices"])).tolist()
            line = {"id": row["id"], "task": row["task"], "label": 1, "scores": scores}
            file.write(json.dumps(line) + "\n")
    pq.write_table(
        pa.table(
            {"id": ["a", "b"], "task": ["t", "t"], "label": [0, 1], "scores": [[1.0, 2.0]] * 2}
        ),
        folder / "scores.parquet",
    )


def read_scores(folder):
    for name in ("scores.jsonl", "scores.parquet"):
        _check_table(load_table(folder / name))


def make_answers(folder):
    rng = np.random.default_rng(0)
    rows = [(f"{p:.4f}", int(rng.random() < p), "ab"[i % 2]) for i, p in enumerate(rng.random(40))]
    with (folder / "answers.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("p", "ok", "topic"), *rows])
    with (folder / "answers.jsonl").open("w") as file:
        for p, ok, topic in rows:
            file.write(json.dumps({"p": float(p), "ok": bool(ok), "topic": topic}) + "\n")


def read_answers_of_files(folder):
    for name in ("answers.csv", "answers.jsonl"):
        answers = read_answers(folder / name, confidence=["p"], correct="ok", by=["topic"])
        claimed = answers.confidence["p"]
        assert len(claimed) == len(answers.correct) >= 1
        assert ((claimed >= 0) & (claimed <= 1)).all()


def make_checkpoint(folder):
    views = ("scores+positions+debiased", "scores+reference+features")
    config = th.ThermometerConfig(views, n_components=3, n_members=2, hidden_size=4)
    torch.manual_seed(0)
    network = Thermometer(config, 4)
    scores, other = torch.randn(2, 30, 3, dtype=torch.float64)
    groups, models = torch.arange(30) // 10, torch.zeros(30, dtype=torch.int64)
    network.fit_inputs(torch.randn(30, 4), scores, groups, 1.5, models, other, 1.2)
    record = TrainingRecord(
        ["one", "two"],
        1.5,
        features={"model": "small", "layer": -1},
        reference={"model": "second"},
        targets=[{"model": "large"}],
        spread=0.1,
        metrics={"nll": 0.5},
        training="seed: 0\n",
    )
    shutil.rmtree(folder)
    th.Calibrator(network, record).save_pretrained(folder)


def read_checkpoint(folder):
    calibrator = th.Calibrator.from_pretrained(folder)
    rng = np.random.default_rng(1)
    table = th.OutputTable.from_arrays(
        [f"q{i}" for i in range(6)],
        ["task"] * 6,
        scores=rng.normal(size=(6, 3)),
        features=rng.normal(size=(6, calibrator.thermometer.n_features)),
    )
    result = calibrator.calibrate(table, reference_scores=rng.normal(size=(6, 3)))
    assert np.isfinite(result.temperature).all()
    assert (result.temperature > 0).all()
    assert np.allclose(result.probs.sum(axis=1), 1)


RECALIBRATORS = (
    recalibrators.TemperatureScaling,
    recalibrators.PlattScaling,
    recalibrators.IsotonicCalibration,
    recalibrators.HistogramBinning,
    recalibrators.BatchCalibration,
)


def make_recalibrators(folder):
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(60, 3)) * 3
    labels = rng.integers(0, 3, size=60)
    confidence = rng.random(60)
    for kind in RECALIBRATORS:
        made = kind()
        fitted = (
            made.fit(scores, labels)
            if made.reads == "scores"
            else made.fit(confidence, (rng.random(60) < confidence).astype(int))
        )
        fitted.save_pretrained(folder / kind.__name__)


def read_recalibrators(folder):
    for kind in RECALIBRATORS:
        loaded = recalibrators.load(folder / kind.__name__)
        if loaded.reads == "scores":
            probs = loaded.predict_proba(np.random.default_rng(1).normal(size=(5, 3)))
        else:
            probs = loaded.predict_proba(np.linspace(0, 1, 5))
        assert np.allclose(probs.sum(axis=1), 1)
        assert (probs >= 0).all()


def make_monitor(folder):
    rng = np.random.default_rng(0)
    ids = [f"a{i}" for i in range(120)]
    with Monitor(folder / "monitor.db") as monitor:
        confidence = rng.random(120)
        monitor.record_many(ids, confidence, segment=["x", "y", None] * 40)
        monitor.label_many(ids[:90], rng.random(90) < confidence[:90])
        monitor.refit()
    for left in folder.glob("monitor.db-*"):
        left.unlink()


def read_monitor(folder):
    with Monitor(folder / "monitor.db") as monitor:
        assert 0 <= monitor.record("new", 0.5) <= 1
        monitor.label("new", True)
        state = monitor.state(n_resamples=20)
        assert state.n_labelled >= 0
        state.write(folder.parent / "out" / "monitor.html")


CONFIG_NAMES = ("demo", "smollm2", "llama3", "qwen2.5", "flan_t5")


def make_configs(folder):
    for name in CONFIG_NAMES:
        shutil.copy(REPOSITORY / "configs" / f"{name}.yaml", folder)
    cli.parse(["run", "--config", str(folder / "demo.yaml")])  # imports, outside of the clock


def read_config(folder):
    """One config, told by the damage: whichever differs from the repository's."""
    for name in CONFIG_NAMES:
        file = folder / f"{name}.yaml"
        original = REPOSITORY / "configs" / file.name
        if file.is_file() and file.read_bytes() == original.read_bytes():
            continue
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
                command, fields = cli.parse(["run", "--config", str(file)])
        except SystemExit as stop:
            message = f"{said.getvalue()}{stop.code}"
            assert "Traceback" not in message
            raise ValueError(message) from None
        assert command == "run"
        th.Experiment(**fields)


def make_report(folder):
    rng = np.random.default_rng(0)
    n = 60
    scores = rng.normal(size=(n, 3)) * 3
    table = th.OutputTable.from_arrays(
        [f"q{i}" for i in range(n)],
        [f"task {i % 4}" for i in range(n)],
        rng.integers(0, 3, size=n),
        scores,
        rng.normal(size=(n, 4)),
        {"scores": {"model": "synthetic"}},
    )
    report = th.cross_validate(
        table,
        _known,
        Protocol(folds=2),
        n_resamples=20,
    )
    (folder / "report.json").write_text(report.to_json())
    (folder.parent / "warm").mkdir()
    report.write(folder.parent / "warm")  # imports of pictures, outside of the clock


def _known(table):
    torch.manual_seed(0)
    config = th.ThermometerConfig(("features",), n_components=3, n_members=1)
    network = Thermometer(config, 4)
    network.fit_inputs(torch.tensor(table.features), None, None, 1.0)
    return th.Calibrator(network, TrainingRecord(table.task_names, 1.0))


def read_report(folder):
    with contextlib.redirect_stdout(io.StringIO()):
        table_commands.measure(str(folder / "report.json"), terminal=True)
    report = Report.from_json((folder / "report.json").read_text())
    report.write(folder.parent / "out" / "report")


def make_router(folder):
    router = Router(Bands(accept_above=0.8, accept_until=0.7, reject_below=0.2, reject_until=0.3))
    for i in range(20):
        router.decide(f"key {i % 7}", (i * 37 % 100) / 100)
    (folder / "router.json").write_text(router.to_json())


def read_router(folder):
    router = Router.from_json((folder / "router.json").read_text(errors="replace"))
    assert router.decide("key 1", 0.99).action in ("accept", "review", "reject")
    assert Router.from_json(router.to_json()).to_json() == router.to_json()


RESPONSES = ("chat", "completions")


def make_responses(folder):
    for name in RESPONSES:
        recorded = json.loads((REPOSITORY / f"tests/data/logprobs/{name}.json").read_text())
        response = recorded["exchanges"][0]["response"]
        (folder / f"{name}.json").write_text(json.dumps(response))


def read_responses(folder):
    texts = [(folder / f"{name}.json").read_text(errors="replace") for name in RESPONSES]
    found = option_probabilities(texts, ["A", "B", "C"])
    rows = [row for row in range(len(texts)) if row not in found.skipped]
    assert np.isnan(found.probs[list(found.skipped)]).all()
    assert np.allclose(found.probs[rows].sum(axis=1), 1)
    assert (found.low <= found.probs + 1e-9)[rows].all()
    assert (found.probs <= found.high + 1e-9)[rows].all()
    assert np.isfinite(found.scores[rows]).all()


def make_logs(folder):
    source = REPOSITORY / "tests/data/lm_eval/facts"
    shutil.copytree(source, folder, dirs_exist_ok=True)


def read_logs(folder):
    _check_table(import_lm_eval(folder, folder.parent / "out" / "table"))


def make_free_form(folder):
    rows = [{"id": f"q{i}", "question": f"{i} + 1 =", "answers": [str(i + 1)]} for i in range(6)]
    text = "\n".join(json.dumps(row) for row in rows) + "\n"
    (folder / "questions.jsonl").write_text(text)


def read_free_form(folder):
    for task in load_free_form(folder / "questions.jsonl"):
        assert all(question.text.strip() for question in task.questions)


def make_ensemble(folder):
    rng = np.random.default_rng(0)
    correct = rng.random(80) < 0.6
    signals = {"stated": rng.random(80) + correct, "agreement": rng.random(80) + correct}
    shutil.rmtree(folder)
    SignalEnsemble().fit(signals, correct).save_pretrained(folder)


def read_ensemble(folder):
    ensemble = SignalEnsemble.from_pretrained(folder)
    confidence = ensemble.predict({"stated": [0.1, 1.5], "agreement": [0.2, float("nan")]})
    assert ((confidence >= 0) & (confidence <= 1)).all()


TARGETS = {
    target.name: target
    for target in (
        Target("table", make_table, read_table),
        Target("questions", make_questions, read_questions),
        Target("scores", make_scores, read_scores),
        Target("answers", make_answers, read_answers_of_files),
        Target("checkpoint", make_checkpoint, read_checkpoint),
        Target("recalibrators", make_recalibrators, read_recalibrators),
        Target("monitor", make_monitor, read_monitor),
        Target("configs", make_configs, read_config, names=("thermometer: error", "Expected")),
        Target("report", make_report, read_report),
        Target("router", make_router, read_router),
        Target("responses", make_responses, read_responses, names=("Expected", "Response")),
        Target("logs", make_logs, read_logs),
        Target("free_form", make_free_form, read_free_form),
        Target("ensemble", make_ensemble, read_ensemble),
    )
}
