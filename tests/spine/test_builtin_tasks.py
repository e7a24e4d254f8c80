"""The built-in tasks: well-formed, and the same questions as ever for the demo."""

import os
import subprocess
import sys

import pytest

from thermometer.tasks import load_tasks

# Of what the code that once wrote these questions gave for the seed and limit of configs/demo.yaml.
DEMO = "87a3e2a645f32f383bf41e95bb0384ed664ee17b17f8c705ca3c4f2a4f2f27ba"
DIGEST = """
import hashlib, json
from thermometer.tasks import load_tasks, question_row

tasks = load_tasks("builtin", limit=80, seed=2024)
rows = [question_row(question, task.name) for task in tasks for question in task.questions]
print(hashlib.sha256(json.dumps(rows).encode()).hexdigest(), end="")
"""


@pytest.fixture(scope="module")
def tasks():
    return load_tasks("builtin")


def test_numbers_of_tasks_and_questions(tasks):
    assert len(tasks) == 60
    assert sum(map(len, tasks)) == 5724
    assert min(map(len, tasks)) >= 80
    assert len({task.name.split("/")[0] for task in tasks}) == 14
    assert {len(task.questions[0].options) for task in tasks} == {2, 3, 4, 5}


def test_every_question_is_well_formed_and_asked_once(tasks):
    questions = [question for task in tasks for question in task.questions]
    assert len({question.id for question in questions}) == len(questions)
    assert len({question.text for question in questions}) == len(questions)
    for task in tasks:
        assert task.labelled
        assert {q.id for q in task.questions} == {f"{task.name}/{n}" for n in range(len(task))}
        assert len({len(question.options) for question in task.questions}) == 1
    for question in questions:
        texts = [question.text, *question.options]
        assert all(text and text == text.strip() for text in texts)
        assert len(set(question.options)) == len(question.options)


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_questions_of_the_demo_are_the_recorded_ones(hash_seed):
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    arguments = [sys.executable, "-c", DIGEST]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == DEMO


def test_limit_draws_by_seed(tasks):
    few = load_tasks("builtin", limit=20)
    assert {len(task) for task in few} == {20}
    assert load_tasks("builtin", limit=20) == few
    assert load_tasks("builtin", limit=20, seed=1) != few
    assert load_tasks("builtin", limit=100) == tasks
    for task, pool in zip(few, tasks, strict=True):
        assert set(task.questions) < set(pool.questions)


def test_one_family(tasks):
    dates = [task for task in tasks if task.name.startswith("dates/")]
    assert len(dates) == 4
    assert load_tasks("builtin:dates") == load_tasks("builtin", names=["dates/*"]) == dates
    assert load_tasks("builtin:dates", exclude=[dates[0].name]) == dates[1:]


@pytest.mark.parametrize("name", ["date", "", "Dates", "dates/days_after"])
def test_an_unknown_family_lists_the_known_ones(name):
    expected = rf"`source` to be 'builtin:' with one of addition, .*dates, .*got 'builtin:{name}'"
    with pytest.raises(ValueError, match=expected):
        load_tasks(f"builtin:{name}")


def test_no_split_is_invented():
    with pytest.raises(ValueError, match="none in builtin:dates of split 'test'"):
        load_tasks("builtin:dates", split="test")
