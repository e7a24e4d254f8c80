"""Answers in words: what is said, how sure the model is of it, and what is flagged or refused."""

import free_forms
import numpy as np
import pytest
import tiny

from thermometer.calibrated_lm import CalibratedLM, questions_of
from thermometer.extraction import extract
from thermometer.free_form import (
    EMPTY,
    FreeFormAnswer,
    FreeFormTask,
    answer,
    answer_stream,
    answers_frame,
    verify,
    verify_question,
)
from thermometer.language_model import LanguageModel
from thermometer.scaling import scale_scores
from thermometer.templates import Template
from thermometer.types import Task

TASK = free_forms.task()
TEXTS = [question.text for question in TASK.questions]
SHORT = {"max_new_tokens": 5}
END = "</s>"


@pytest.fixture(scope="module")
def answering(lm):
    """A GPT-2 answers, a Llama tells the temperature."""
    large = LanguageModel(tiny.model("gpt2"), tiny.tokenizer(), name="tiny-gpt2")
    return CalibratedLM(large, free_forms.calibrator_of(lm))


@pytest.fixture(scope="module")
def answers(answering):
    return answer(answering, TASK, **SHORT)


@pytest.fixture
def forwards(lm):
    """An entry for every forward pass of the Llama."""
    passes = []
    hook = lm.model.model.register_forward_hook(lambda *_: passes.append(1))
    yield passes
    hook.remove()


def test_confidence_is_the_calibrated_probability_of_yes(answering, answers):
    asked = Task(
        "t",
        tuple(
            verify_question(question, found.answer)
            for question, found in zip(TASK.questions, answers, strict=True)
        ),
    )
    raw = answering.lm.outputs(
        free_forms.VERIFY.render_task(asked), free_forms.VERIFY, features=False
    ).scores
    temperature = answering.calibrator.temperature(asked, raw)
    expected = scale_scores(raw, temperature)
    for row, found in enumerate(answers):
        assert (found.id, found.question) == (f"q{row}", TEXTS[row])
        assert found.temperature == pytest.approx(temperature[row], rel=1e-4)
        assert list(found.probs) == ["Yes", "No"]
        np.testing.assert_allclose(list(found.probs.values()), expected[row], rtol=1e-3)
        assert found.confidence == found.probs["Yes"]
    assert len({found.answer for found in answers}) > 2
    assert min(found.confidence for found in answers) < 0.5  # Yes, not the likelier of the two


def test_at_the_level_of_tasks_all_answers_share_a_temperature(answering, answers):
    found = answer(answering, TASK, **SHORT, per="task")
    assert len({a.temperature for a in found}) == 1
    assert len({a.temperature for a in answers}) > 1


def test_plain_texts_are_answered_as_a_task_is(answering, answers):
    found = answer(answering, TEXTS, **SHORT)
    assert [a.answer for a in found] == [a.answer for a in answers]
    assert [a.confidence for a in found] == pytest.approx([a.confidence for a in answers], 1e-4)
    assert [a.id for a in found[:2]] == ["question 1", "question 2"]


def test_a_context_is_read(answering, answers):
    found = answer(answering, TEXTS, "Paris is the capital", **SHORT)
    assert [a.confidence for a in found] != pytest.approx([a.confidence for a in answers], 1e-2)
    one = answer(answering, TEXTS[:2], ["Paris is the capital", None], **SHORT)
    assert one[0].confidence == pytest.approx(found[0].confidence, 1e-4)
    assert one[1].confidence == pytest.approx(answers[1].confidence, 1e-4)


@pytest.mark.parametrize("window", [1, 5, 100])
def test_a_stream_gives_the_same_as_soon_as_it_can(answering, answers, window):
    stream = answer_stream(answering, TASK, window=window, **SHORT)
    found = [next(stream), *stream]
    assert [(a.id, a.answer) for a in found] == [(a.id, a.answer) for a in answers]
    assert [a.confidence for a in found] == pytest.approx([a.confidence for a in answers], 1e-4)


def test_answers_at_hand_are_verified(answering, answers):
    found = verify(answering, TASK, [a.answer for a in answers])
    assert [a.confidence for a in found] == pytest.approx([a.confidence for a in answers], 1e-4)
    other = verify(answering, TEXTS[:2], ["Rome", "London"])
    assert [a.answer for a in other] == ["Rome", "London"]
    assert other[0].confidence != pytest.approx(answers[0].confidence, rel=1e-3)


def test_things_of_another_kind_are_named_with_what_makes_them(lm, tmp_path):
    calibrator = free_forms.calibrator_of(lm)
    with pytest.raises(
        TypeError, match=r"`lm` to be a LanguageModel .*from_pretrained.* got str: 'm"
    ):
        CalibratedLM("my_model", calibrator)
    with pytest.raises(TypeError, match=r"`calibrator` to be a Calibrator .* got LanguageModel"):
        CalibratedLM(lm, lm)
    with pytest.raises(TypeError, match=r"`prompts` to be a Prompt .*render.* got str: 'What"):
        lm.outputs(["What?"], Template("cloze"))
    with pytest.raises(TypeError, match=r"`template` to be a Template .* got str: 'cloze'"):
        extract(lm, [], tmp_path / "table", template="cloze")
    with pytest.raises(TypeError, match=r"`tasks` to be a Task .*`load_tasks`.* got str"):
        extract(lm, "mine.jsonl", tmp_path / "table")
    with pytest.raises(TypeError, match=r"`lm` to be a LanguageModel .* got str"):
        extract("my_model", [], tmp_path / "table")
    assert not (tmp_path / "table").exists()


def test_an_empty_answer_has_no_confidence_and_says_so(answering, lm):
    found = verify(answering, TEXTS[:3], ["Rome", " ", "Paris"])
    assert [a.confidence is None for a in found] == [False, True, False]
    assert found[1].warnings == (EMPTY,)
    assert (found[1].probs, found[1].temperature) == ({}, None)
    assert found[0].confidence == verify(answering, TEXTS[:1], ["Rome"])[0].confidence
    silent = free_forms.speaker(END)
    nothing = answer(CalibratedLM(silent, free_forms.calibrator_of(silent)), TEXTS)
    assert {a.warnings for a in nothing} == {(EMPTY,)}


def test_a_cut_answer_says_so():
    endless = free_forms.speaker("A", "A")
    found = answer(CalibratedLM(endless, free_forms.calibrator_of(endless)), TEXTS[:1], **SHORT)
    assert found[0].answer == "AAAAA"
    assert found[0].warnings == ("The answer was cut at 5 tokens.",)
    brief = free_forms.speaker(" Paris", END)
    found = answer(CalibratedLM(brief, free_forms.calibrator_of(brief)), TEXTS[:1], **SHORT)
    assert (found[0].answer, found[0].warnings) == ("Paris", ())


def test_a_thermometer_that_reads_the_answering_model_costs_no_forward_pass(lm, forwards):
    own = CalibratedLM(lm, free_forms.calibrator_of(lm))
    assert own.reads_itself
    given = ["Rome"] * len(TEXTS)
    once = verify(own, TEXTS, given)
    n_once = len(forwards)
    again = LanguageModel(tiny.model("llama"), tiny.tokenizer(), name="again", layer=2)
    apart = CalibratedLM(lm, free_forms.calibrator_of(again))
    assert not apart.reads_itself
    verify(apart, TEXTS, given)
    assert len(forwards) == 2 * n_once  # the other object has a model of its own
    task = Task("t", tuple(verify_question(q, "Rome") for q in TASK.questions))
    raw = lm.outputs(free_forms.VERIFY.render_task(task), free_forms.VERIFY, features=False).scores
    expected = own.calibrator.calibrate(task, raw)
    assert [a.confidence for a in once] == pytest.approx(expected.probs[:, 0], rel=1e-4)
    assert [a.temperature for a in once] == pytest.approx(expected.temperature, rel=1e-4)


def test_classification_too_reads_the_model_once(lm, forwards):
    letter = Template()
    own = CalibratedLM(lm, free_forms.calibrator_of(lm, letter))
    options = ("Paris", "Rome", "London")
    found = own.classify(TEXTS, options)
    n_classify = len(forwards)
    task = Task("questions", questions_of(TEXTS, options))
    lm.outputs(letter.render_task(task), letter, features=False)
    assert len(forwards) == 2 * n_classify
    cloze = free_forms.calibrator_of(lm, Template("cloze"))
    cloze = CalibratedLM(lm, cloze.with_record(targets=own.calibrator.record.targets))
    assert not cloze.reads_itself  # the prompts differ
    assert [a.answer for a in cloze.classify(TEXTS, options)] == [a.answer for a in found]


def test_each_kind_of_calibrator_does_its_own_work(lm, answering):
    with pytest.raises(ValueError, match="`calibrator` to be trained on questions with options"):
        answering.classify(["Which?"], ("a", "b"))
    letter = CalibratedLM(lm, free_forms.calibrator_of(lm, Template()))
    for ask in (answer, answer_stream, lambda lm, texts: verify(lm, texts, ["x"])):
        with pytest.raises(ValueError, match=r"trained on answers in words .*\(style='letter'"):
            list(ask(letter, ["Which?"]))


@pytest.mark.parametrize(
    ("questions", "error", "message"),
    [
        ([], ValueError, "at least one question"),
        ("Who?", TypeError, "got one string: 'Who[?]'"),
        (["capital " * 500], ValueError, r"at most 512 tokens long .* question 1"),
        (["capital " * 465], ValueError, r"at most 496 tokens long .* question 1"),
        ([" "], ValueError, "non-empty"),
    ],
)
def test_impossible_questions_are_refused(answering, questions, error, message):
    with pytest.raises(error, match=message):
        answer(answering, questions)
    with pytest.raises(error, match=message):
        list(answer_stream(answering, questions))


def test_other_impossible_arguments_are_refused(answering):
    with pytest.raises(ValueError, match="`answers` to be of length 2"):
        verify(answering, TEXTS[:2], ["x"])
    with pytest.raises(TypeError, match="got one string: 'Rome'"):
        verify(answering, TEXTS[:1], "Rome")
    with pytest.raises(ValueError, match=r"at most 512 tokens long .* question 1"):
        verify(answering, TEXTS[:1], ["Rome " * 500])
    with pytest.raises(ValueError, match="`window`"):
        next(answer_stream(answering, TEXTS, window=0))
    with pytest.raises(ValueError, match="None where `questions` are a task"):
        answer(answering, FreeFormTask("t", TASK.questions), "context")


def test_answers_become_a_frame(answering, answers):
    silent = FreeFormAnswer("q", "Who?", "", None, {}, None, (EMPTY,))
    frame = answers_frame([*answers, silent])
    assert list(frame.columns) == [
        "id",
        "question",
        "answer",
        "confidence",
        "probs",
        "temperature",
        "warnings",
    ]
    assert frame["confidence"].tolist()[:-1] == [a.confidence for a in answers]
    assert np.isnan(frame["confidence"].iloc[-1])
    assert frame["warnings"].iloc[-1] == [EMPTY]
    assert answers_frame([silent])["temperature"].dtype == np.float64
    assert len(answers_frame([])) == 0
