"""Answers in words with a confidence: generate, ask whether it is correct, calibrate the reply.

The self-verification of Shen et al. (2024), after P(True) of Kadavath et al. (2022).
"""

from collections.abc import Iterator, Sequence

from thermometer import _checks
from thermometer.answered_by import scores_template
from thermometer.calibrated_lm import CalibratedLM, divisors, wrong_calibrator
from thermometer.calibrator import Calibrator, Level
from thermometer.free_form.answers import FreeFormAnswer
from thermometer.free_form.question_inputs import Context, answers_to, without_options
from thermometer.free_form.questions import (
    VERDICTS,
    FreeFormQuestion,
    FreeFormTask,
    verify_question,
)
from thermometer.llm.generation import MAX_NEW_TOKENS, Line, lines_of
from thermometer.templates import Template
from thermometer.types import Task

EMPTY = "The answer is empty: there is nothing to be confident of."


def answer(
    lm: CalibratedLM,
    questions: FreeFormTask | Sequence[str],
    context: Context = None,
    *,
    max_new_tokens: int = MAX_NEW_TOKENS,
    level: Level = "sample",
) -> list[FreeFormAnswer]:
    """Answer in words, ask the model whether that is correct, and calibrate what it says.

    The confidence is the calibrated probability of "Yes, it is correct". Answers are generated
    greedily and end with the line.

    Args:
        lm: A language model, with a calibrator that was trained on answers in words.
        questions: Texts without a frame, or a task.
        context: A passage for all texts, or one for each; a task brings its own.
        max_new_tokens: Where an answer is cut that does not end.
        level: See `Calibrator.calibrate`.

    Returns:
        One answer per question, in order. An empty one has no confidence, and says so.

    Raises:
        TypeError: If `questions` is one string.
        ValueError: For an empty list, a prompt over the model's context, or a calibrator that was
            not trained on answers in words.
    """
    return _answer(lm, without_options(questions, context), max_new_tokens, level)


def answer_stream(
    lm: CalibratedLM,
    questions: FreeFormTask | Sequence[str],
    context: Context = None,
    *,
    window: int = 256,
    max_new_tokens: int = MAX_NEW_TOKENS,
    level: Level = "sample",
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
        level: As for `answer`.

    Yields:
        One answer per question, in order.
    """
    asked = without_options(questions, context)
    _checks.integer("window", window)
    for start in range(0, len(asked), window):
        yield from _answer(lm, asked[start : start + window], max_new_tokens, level)


def verify(
    lm: CalibratedLM,
    questions: FreeFormTask | Sequence[str],
    answers: Sequence[str],
    context: Context = None,
    *,
    level: Level = "sample",
) -> list[FreeFormAnswer]:
    """How confident the model is of answers that are at hand, its own or another's.

    Args:
        lm: As for `answer`.
        questions: As for `answer`.
        answers: One text per question.
        context: As for `answer`.
        level: See `Calibrator.calibrate`.

    Returns:
        The answers with their confidence, in order.

    Raises:
        TypeError: If `questions` or `answers` is one string.
        ValueError: As `answer`, and if there are not as many answers as questions.
    """
    verify_template(lm.calibrator)
    asked = without_options(questions, context)
    return _verify(lm, asked, [Line(text) for text in answers_to(asked, answers)], level)


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
    lm: CalibratedLM, asked: Sequence[FreeFormQuestion], max_new_tokens: int, level: Level
) -> list[FreeFormAnswer]:
    template = verify_template(lm.calibrator)
    prompts = [template.render_open(question) for question in asked]
    return _verify(lm, asked, lines_of(lm.lm, prompts, max_new_tokens=max_new_tokens), level)


def _verify(
    lm: CalibratedLM, asked: Sequence[FreeFormQuestion], lines: Sequence[Line], level: Level
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
        result = lm.calibrate(Task("questions", tuple(given)), level=level)
        assert result.probs is not None
        rows = zip(given, result.probs, divisors(result, level), strict=True)
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
