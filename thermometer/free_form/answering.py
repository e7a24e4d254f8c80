"""Answers in words with a calibrated confidence: answer, then ask whether that is correct."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit

from thermometer import _checks
from thermometer.calibrated_lm import Answer, CalibratedLM, divisors, wrong_calibrator
from thermometer.calibrator import Calibrator, scores_template
from thermometer.free_form.questions import (
    FreeFormQuestion,
    FreeFormTask,
    render_question,
    verify_question,
)
from thermometer.generation import MAX_NEW_TOKENS, Line, lines_of
from thermometer.posterior import Per
from thermometer.recalibrators.confidence import fit_line, soft_targets
from thermometer.scaling import VERDICT_SHIFT, shifted
from thermometer.tables import OutputTable
from thermometer.templates import VERDICTS, Template
from thermometer.types import Task


@dataclass(frozen=True, slots=True)
class FreeFormAnswer:
    """What a calibrated model says to one question without options.

    Args:
        id: Of the question.
        question: Its text.
        answer: What the model says; empty if it says nothing.
        confidence: Calibrated probability, in [0, 1], that the model gives to its answer being
            correct. `None` if there is no answer: no number stands for "unknown".
        probs: Calibrated probability of `Yes` and `No`; empty if there is no answer.
        temperature: By which the scores were divided, or `None`.
        warnings: What the user should know before trusting the confidence.
    """

    id: str
    question: str
    answer: str
    confidence: float | None
    probs: dict[str, float]
    temperature: float | None
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {**asdict(self), "warnings": list(self.warnings)}


def answers_frame(answers: Sequence[Answer] | Sequence[FreeFormAnswer]) -> Any:
    """Answers as a pandas frame, one row each, a column for each field.

    A missing confidence is NaN. `probs` stay dicts, since prompts may have other options.

    Raises:
        ImportError: If pandas is not installed.

    Example:
        >>> frame = answers_frame([Answer("Paris", 0.8, {"Paris": 0.8, "Rome": 0.2}, 1.5)])
        >>> list(frame.columns), float(frame.confidence[0])
        (['answer', 'confidence', 'probs', 'temperature', 'warnings'], 0.8)
    """
    try:
        pandas = import_module("pandas")
    except ImportError as error:
        raise ImportError("answers_frame needs pandas: install it, or use to_dict") from error
    frame = pandas.DataFrame([answer.to_dict() for answer in answers])
    numbers = {"confidence": "float64", "temperature": "float64"}
    return frame.astype({name: kind for name, kind in numbers.items() if name in frame})


Context = str | Sequence[str | None] | None
"""A passage for all questions, or one for each (`None` where there is none), or none at all."""


def answers_to(questions: Sequence[FreeFormQuestion], answers: Sequence[str]) -> tuple[str, ...]:
    """Texts, as many as questions.

    Raises:
        TypeError: If `answers` is one string.
        ValueError: If there are not as many.

    Example:
        >>> answers_to(without_options(["Who?", "When?"]), ["Goethe", "1808"])
        ('Goethe', '1808')
    """
    texts = _checks.strings("answers", answers)
    if len(texts) != len(questions):
        raise _checks.fail("answers", f"of length {len(questions)} (as `questions`)", len(texts))
    return texts


def without_options(
    questions: FreeFormTask | Sequence[str], context: Context = None
) -> tuple[FreeFormQuestion, ...]:
    """Free-form questions: those of a task, or plain texts, numbered from 1.

    Raises:
        TypeError: If `questions` is one string.
        ValueError: For no questions, an empty one, passages that are not as many, or passages for a
            task, whose questions have their own.

    Example:
        >>> [question.id for question in without_options(["Who?", "When?"])]
        ['question 1', 'question 2']
    """
    if isinstance(questions, FreeFormTask):
        if context is not None:
            raise _checks.fail("context", "None where `questions` are a task", repr(context))
        return questions.questions
    texts = _checks.strings("questions", questions)
    if not texts:
        raise _checks.fail("questions", "at least one question", "none")
    passages = [context] * len(texts) if context is None or isinstance(context, str) else context
    if len(passages) != len(texts):
        raise _checks.fail("context", f"of length {len(texts)} (as `questions`)", len(passages))
    return tuple(
        FreeFormQuestion(f"question {number}", text, context=passage)
        for number, (text, passage) in enumerate(zip(texts, passages, strict=True), start=1)
    )


EMPTY = "The answer is empty: there is nothing to be confident of."


def answer(
    lm: CalibratedLM,
    questions: FreeFormTask | Sequence[str],
    context: Context = None,
    *,
    max_new_tokens: int = MAX_NEW_TOKENS,
    per: Per = "sample",
) -> list[FreeFormAnswer]:
    """Answer in words, ask the model whether that is correct, and calibrate what it says.

    The confidence is the calibrated probability of "Yes, it is correct". Answers are generated
    greedily and end with the line.

    Args:
        lm: A language model, with a calibrator that was trained on answers in words.
        questions: Texts without a frame, or a task.
        context: A passage for all texts, or one for each; a task brings its own.
        max_new_tokens: Where an answer is cut that does not end.
        per: See `Calibrator.calibrate`.

    Returns:
        One answer per question, in order. An empty one has no confidence, and says so.

    Raises:
        TypeError: If `questions` is one string.
        ValueError: For an empty list, a prompt over the model's context, or a calibrator that was
            not trained on answers in words.
    """
    return _answer(lm, without_options(questions, context), max_new_tokens, per)


def answer_stream(
    lm: CalibratedLM,
    questions: FreeFormTask | Sequence[str],
    context: Context = None,
    *,
    window: int = 256,
    max_new_tokens: int = MAX_NEW_TOKENS,
    per: Per = "sample",
) -> Iterator[FreeFormAnswer]:
    """As `answer`, some questions at a time: for long lists, and to show progress.

    A thermometer that reads the task as a whole sees one window of it, so that confidences differ a
    little from those of `answer`.

    Args:
        lm: As for `answer`.
        questions: As for `answer`.
        context: As for `answer`.
        window: Number of questions that are answered together.
        max_new_tokens: As for `answer`.
        per: As for `answer`.

    Yields:
        One answer per question, in order.
    """
    asked = without_options(questions, context)
    _checks.integer("window", window)
    for start in range(0, len(asked), window):
        yield from _answer(lm, asked[start : start + window], max_new_tokens, per)


def verify(
    lm: CalibratedLM,
    questions: FreeFormTask | Sequence[str],
    answers: Sequence[str],
    context: Context = None,
    *,
    per: Per = "sample",
) -> list[FreeFormAnswer]:
    """How confident the model is of answers that are at hand, its own or another's.

    Args:
        lm: As for `answer`.
        questions: As for `answer`.
        answers: One text per question.
        context: As for `answer`.
        per: See `Calibrator.calibrate`.

    Returns:
        The answers with their confidence, in order.

    Raises:
        TypeError: If `questions` or `answers` is one string.
        ValueError: As `answer`, and if there are not as many answers as questions.
    """
    verify_template(lm.calibrator)
    asked = without_options(questions, context)
    return _verify(lm, asked, [Line(text) for text in answers_to(asked, answers)], per)


def verify_template(calibrator: Calibrator) -> Template:
    """The template of the verdicts that a calibrator of answers in words was trained for.

    Raises:
        ValueError: If it was trained on questions with options, or names no template.
    """
    template = scores_template(calibrator.target)
    if template.style != "verify":
        raise wrong_calibrator("answers in words (template style 'verify')", template)
    return template


def _answer(
    lm: CalibratedLM, asked: Sequence[FreeFormQuestion], max_new_tokens: int, per: Per
) -> list[FreeFormAnswer]:
    template = verify_template(lm.calibrator)
    prompts = [render_question(question, template) for question in asked]
    return _verify(lm, asked, lines_of(lm.lm, prompts, max_new_tokens=max_new_tokens), per)


def _verify(
    lm: CalibratedLM, asked: Sequence[FreeFormQuestion], lines: Sequence[Line], per: Per
) -> list[FreeFormAnswer]:
    """Answers with the calibrated probability that the model gives to their being correct."""
    given = [
        verify_question(question, line.text)
        for question, line in zip(asked, lines, strict=True)
        if line.text.strip()
    ]
    found: dict[str, tuple[float | None, dict[str, float], float | None, tuple[str, ...]]]
    found = {question.id: (None, {}, None, (EMPTY,)) for question in asked}
    if given:
        result = lm.calibrate(Task("questions", tuple(given)), per=per)
        assert result.probs is not None
        rows = zip(given, result.probs, divisors(result, per), strict=True)
        for verdict, probs, divisor in rows:
            told = dict(zip(VERDICTS, map(float, probs), strict=True))
            found[verdict.id] = (told[VERDICTS[0]], told, divisor, result.warnings)
    answers = []
    for question, line in zip(asked, lines, strict=True):
        cut = f"The answer was cut at {line.cut_at} tokens."
        notes = () if line.cut_at is None else (cut,)
        confidence, told, temperature, warnings = found[question.id]
        answers.append(
            FreeFormAnswer(
                question.id,
                question.text,
                line.text,
                confidence,
                told,
                temperature,
                (*warnings, *notes),
            )
        )
    return answers


_SLOPE = 0.05
"""Least slope in log-odds: verdicts that say nothing, or the contrary, count as this weak."""


def shift_verdicts(table: OutputTable) -> OutputTable:
    """A table of verdicts whose score of Yes is shifted as its own labels want it.

    With d = s_Yes - s_No, P(right) = sigmoid(a d + c) is fitted by maximum likelihood (Platt 1999),
    a >= 0.05, and c / a is added to s_Yes. At temperature 1 / a the shifted scores then have that
    probability; what remains for a thermometer is how the temperature differs between questions.
    The shift is noted in the provenance of the scores, so that a checkpoint carries it and
    `CalibratedLM` adds it to new verdicts. Shift before `train`:
    ``train(shift_verdicts(table))``; to measure on other tasks use `add_shift`.

    Args:
        table: Labelled scores of two options, Yes and No, as `extract` makes them of
            `verify_tasks`; not shifted yet.

    Raises:
        ValueError: If rows have no label or not two options, or the scores are shifted already.

    Example:
        >>> scores = [[2.0, 0.0], [2.5, 0.0], [1.5, 0.0], [2.0, 0.0]] * 50  # Yes to everything
        >>> labels = [0, 1, 1, 1] * 50  # and right once in four times
        >>> ids = [str(i) for i in range(200)]
        >>> table = shift_verdicts(OutputTable.from_arrays(ids, ["t"] * 200, labels, scores))
        >>> bool(table.scores[0, 0] < table.scores[0, 1])
        True
    """
    if not table.labelled:
        raise _checks.fail("table", "labelled in every row", table)
    scores = table.require("scores")
    right = (table.labels == 0).astype(np.float64)
    odds = shifted(scores, 0.0) @ (1.0, -1.0)
    slope, intercept = fit_line(odds, right)
    if slope < _SLOPE:
        slope, intercept = _SLOPE, _intercept(_SLOPE * odds, soft_targets(right).mean())
    return add_shift(table, intercept / slope)


def add_shift(table: OutputTable, shift: float) -> OutputTable:
    """A table of verdicts with a given shift of the score of Yes, as a checkpoint holds it.

    Raises:
        ValueError: If rows have not two options, or the scores are shifted already.
    """
    made = dict(table.provenance.get("scores") or {})
    if VERDICT_SHIFT in made:
        got = f"{VERDICT_SHIFT} {made[VERDICT_SHIFT]}"
        raise _checks.fail("table", "of scores as the model gave them", got)
    return replace(
        table,
        scores=shifted(table.require("scores"), shift),
        provenance={**table.provenance, "scores": {**made, VERDICT_SHIFT: float(shift)}},
    )


def _intercept(line: NDArray[np.float64], mean: float) -> float:
    """The c for which sigmoid(line + c) has a given mean in (0, 1)."""
    edge = float(np.abs(line).max()) + 40.0
    return float(brentq(lambda c: float(expit(line + c).mean()) - mean, -edge, edge))
