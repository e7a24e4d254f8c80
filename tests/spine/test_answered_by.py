"""Scores of a model that a thermometer was not trained for: a warning there and nowhere else."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import tiny
from worlds import QUIET, SCORES, answers

from thermometer.adaptation import adapt, for_model
from thermometer.calibrator import origin_warnings
from thermometer.commands import calibrate
from thermometer.experiment import ModelSpec
from thermometer.extraction import extract
from thermometer.language_model import LanguageModel
from thermometer.network import ThermometerConfig
from thermometer.tasks import TaskSource
from thermometer.templates import Template
from thermometer.training import TrainingConfig, train
from thermometer.types import Question, Task

BF16 = {"model": "org/Big-7B", "fingerprint": "f", "dtype": "bfloat16"}

CLOZE = Template("cloze")


def sizes(task):
    questions = (Question(f"{task}/{i}", f"Is it {i}?", ("one", "two"), i % 2) for i in range(8))
    return Task(task, tuple(questions))


def about_model(result):
    return [w for w in result.warnings if "scores are of" in w]


@pytest.mark.parametrize(
    "made",
    [
        None,
        {},
        {"source": "somewhere"},
        BF16,
        {"model": "/models/big-7b/"},
        {**BF16, "model": "elsewhere/renamed"},  # the same weights
        {**BF16, "fingerprint": "g", "dtype": "float16"},  # rounded otherwise
        {"model": "my_new_questions", "file": "my_new_questions.jsonl"},
    ],
)
def test_nothing_is_said_of_the_same_model_or_an_unnamed_one(made):
    assert origin_warnings([BF16], made) == ()


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({"model": "org/Big-70B"}, "of 'org/Big-70B', but .* trained for 'org/Big-7B': .*`adapt`"),
        ({**BF16, "fingerprint": "g"}, "trained for 'org/Big-7B' with other weights"),
    ],
)
def test_another_model_is_named(made, said):
    (warning,) = origin_warnings([BF16], made)
    assert re.search(said, warning)


def test_a_table_of_another_model_is_a_warning_unless_it_is_adapted_to_or_chosen(family):
    hot, cool, warm = (answers(m, 2.0, n_tasks=4, seed=3)[0] for m in ("hot", "cool", "warm"))
    assert about_model(family.calibrate(hot)) == []
    (other,) = about_model(family.calibrate(cool))
    assert "for_model(calibrator, 'cool')" in other
    (unknown,) = about_model(family.calibrate(warm))
    assert "trained for 'hot', 'cool'" in unknown
    assert about_model(family.calibrate(None, cool.scores)) == []  # nobody knows whose they are
    assert about_model(family.calibrate(cool, cool.scores)) == []
    assert about_model(family.calibrate(None, cool.scores, answered_by={"model": "warm"}))
    for model in ("hot", "cool"):
        assert about_model(for_model(family, model).calibrate(warm)) == []
    adapted = adapt(for_model(family, "hot"), warm)
    assert about_model(adapted.calibrate(warm)) == []
    assert about_model(adapted.calibrate(cool))


def test_labels_do_not_silence_it(family):
    warm = answers("warm", 2.0, n_tasks=1, seed=3)[0]
    labels = np.where(np.arange(len(warm)) < 5, warm.labels, -1)
    assert family.record.spread > 0
    assert about_model(family.update(warm, labels)[0])


def test_temperatures_do_not_depend_on_what_is_said():
    table = answers("one", 2.0, n_tasks=6)[0]
    calibrator = train(table, SCORES, TrainingConfig(max_steps=5), trainer=QUIET)
    renamed = replace(table, provenance={**table.provenance, "scores": {"model": "two"}})
    ours, theirs = calibrator.calibrate(table), calibrator.calibrate(renamed)
    assert about_model(ours) == []
    assert about_model(theirs)
    assert np.array_equal(ours.temperature, theirs.temperature)


def test_the_command_sets_a_thermometer_for_several_to_the_model_that_answers(tmp_path):
    tasks, tables = tuple(map(sizes, "abcd")), {}
    for seed, name in enumerate(("one", "other")):
        tiny.save("llama", tmp_path / name, seed=seed)
        lm = LanguageModel.from_pretrained(str(tmp_path / name))
        how = {"features": False, "trainer": {"accelerator": "cpu", **QUIET}}
        tables[name] = extract(lm, tasks, tmp_path / f"of {name}", template=CLOZE, **how)
    network, training = ThermometerConfig(("scores",), n_members=1), TrainingConfig(max_steps=3)
    both = train(list(tables.values()), network, training, trainer=QUIET)
    both.save_pretrained(tmp_path / "checkpoint")
    rows = [
        {"id": q.id, "task": t.name, "question": q.text, "choices": q.options}
        for t in tasks
        for q in t.questions
    ]
    (tmp_path / "tasks.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for name, table in tables.items():
        out = tmp_path / f"{name}.jsonl"
        asked = TaskSource(str(tmp_path / "tasks.jsonl"))
        calibrate(str(tmp_path / "checkpoint"), str(out), asked, ModelSpec(str(tmp_path / name)))
        found = [json.loads(line)["temperature"] for line in out.read_text().splitlines()]
        expected = for_model(both, str(tmp_path / name)).temperature(table)
        np.testing.assert_allclose(found, expected, rtol=1e-4)
