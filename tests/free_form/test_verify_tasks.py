"""Free-form tasks become tasks of verdicts that are extracted and trained on as any others."""

import json

import free_forms
import numpy as np
import pytest

from thermometer.calibrated_lm import CalibratedLM
from thermometer.extraction import extract
from thermometer.free_form import (
    FreeFormQuestion,
    FreeFormTask,
    answer,
    is_right,
    render_question,
    shift_verdicts,
    verify_question,
    verify_tasks,
)
from thermometer.generation import generate_lines
from thermometer.network import ThermometerConfig
from thermometer.templates import Template
from thermometer.training import TrainingConfig, train

VERIFY = free_forms.VERIFY
SAY = {"max_new_tokens": 5, "progress": False}


def said_by(lm, task):
    """What a model says to each question, by id."""
    found = {}
    prompts = [render_question(question, VERIFY) for question in task.questions]
    for rows, lines in generate_lines(lm, prompts, max_new_tokens=5):
        found |= {task.questions[row].id: line.text for row, line in zip(rows, lines, strict=True)}
    return found


@pytest.fixture(scope="module")
def tasks(lm):
    """Two tasks, in each of which some answers of the Llama are accepted."""
    made = []
    for name in ("b", "a"):
        asked = free_forms.task(10, name, prefix=name)
        said = said_by(lm, asked)
        made.append(
            FreeFormTask(
                name,
                tuple(
                    FreeFormQuestion(q.id, q.text, (said[q.id] if n % 3 else "nothing",))
                    for n, q in enumerate(asked.questions)
                ),
            )
        )
    return made


def test_answers_are_judged_and_asked_about(lm, tasks, tmp_path):
    found = verify_tasks(lm, tasks, tmp_path / "verify.jsonl", **SAY)
    assert [task.name for task in found] == ["a", "b"]
    for task, free in zip(found, sorted(tasks, key=lambda task: task.name), strict=True):
        said = said_by(lm, free)
        expected = [
            verify_question(q, said[q.id], is_right(said[q.id], q.answers)) for q in free.questions
        ]
        assert list(task.questions) == expected
        assert {question.answer for question in task.questions} == {0, 1}


def test_a_killed_run_goes_on(lm, tasks, tmp_path, monkeypatch):
    monkeypatch.setattr("thermometer.free_form._WINDOW", 4)
    out = tmp_path / "verify.jsonl"
    expected = verify_tasks(lm, tasks, out, **SAY)
    whole = out.read_bytes()
    out.write_bytes(whole[: len(whole) // 2])
    assert verify_tasks(lm, tasks, out, **SAY) == expected
    assert out.read_bytes() == whole
    assert verify_tasks(lm, tasks, out, **SAY) == expected
    with pytest.raises(ValueError, match="made with other judge, max_new_tokens"):
        verify_tasks(lm, tasks, out, judge="contains", max_new_tokens=4)
    with pytest.raises(ValueError, match="made with other questions"):
        verify_tasks(lm, tasks[:1], out, **SAY)


def test_questions_without_an_answer_are_left_out(tmp_path):
    silent = free_forms.speaker("</s>")
    with pytest.raises(ValueError, match=r"answered by the model .*`chat: true`.* 3 empty answers"):
        verify_tasks(silent, free_forms.task(3), tmp_path / "verify.jsonl", progress=False)
    assert (tmp_path / "verify.jsonl").read_bytes() == b""


def test_a_thermometer_is_trained_on_verdicts_and_used_on_answers(lm, tasks, tmp_path):
    verdicts = verify_tasks(lm, tasks, tmp_path / "verify.jsonl", **SAY)
    with pytest.warns(UserWarning, match=r"letters hold only \d+% .*\(try chat=True\)"):
        table = extract(lm, verdicts, tmp_path / "table", template=VERIFY)
    assert table.scores.shape == (20, 2)
    assert table.labels.tolist() == [q.answer for task in verdicts for q in task.questions]
    network = ThermometerConfig(n_components=2, n_members=2, hidden_size=4)
    moved = shift_verdicts(table)
    calibrator = train(
        moved, network, TrainingConfig(max_steps=3), trainer={"enable_progress_bar": False}
    )
    answers = answer(CalibratedLM(lm, calibrator), tasks[1], max_new_tokens=5)
    assert [
        f"{q.text}. \nAnswer: {a.answer}" for q, a in zip(tasks[1].questions, answers, strict=True)
    ] == [question.text for question in verdicts[0].questions]
    own = calibrator.calibrate(moved.of_tasks(["a"]))
    np.testing.assert_allclose([a.confidence for a in answers], own.probs[:, 0], rtol=1e-4)


@pytest.mark.parametrize(
    ("asked", "options", "message"),
    [
        ([FreeFormQuestion("q", "Who?")], {}, "`answers` to be known, but got none for question q"),
        ([FreeFormQuestion("q", "Who?", ("x",))], {"judge": "gpt"}, "`judge`"),
        ([FreeFormQuestion("q", "Who?", ("x",))], {"template": Template()}, "style 'verify'"),
    ],
)
def test_what_cannot_be_judged_is_refused(lm, tmp_path, asked, options, message):
    with pytest.raises(ValueError, match=message):
        verify_tasks(lm, FreeFormTask("t", tuple(asked)), tmp_path / "verify.jsonl", **options)
    assert not list(tmp_path.iterdir())


def test_rows_are_plain_multiple_choice(lm, tasks, tmp_path):
    out = tmp_path / "verify.jsonl"
    verify_tasks(lm, tasks, out, **SAY)
    row = json.loads(out.read_text().splitlines()[0])
    assert sorted(row) == ["answer", "choices", "id", "question", "task"]
    assert row["choices"] == ["Yes", "No"]
