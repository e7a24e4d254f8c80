"""What was handed over as questions: plain texts, with or without options, made into questions."""

from collections.abc import Sequence
from typing import Any

from thermometer import _checks
from thermometer.free_form.questions import FreeFormQuestion, FreeFormTask
from thermometer.types import Question

Context = str | Sequence[str | None] | None
"""A passage for all questions, or one for each (`None` where there is none), or none at all."""


def with_options(
    prompts: Sequence[str], options: Sequence[str] | Sequence[Sequence[str]]
) -> tuple[Question, ...]:
    """Questions with options, numbered from 1.

    Args:
        prompts: At least one text.
        options: The same for all prompts, or one sequence per prompt.

    Raises:
        TypeError: If one string stands where several are meant.
        ValueError: For no prompts, or options that do not fit them or a `Question` refuses.

    Example:
        >>> [question.id for question in with_options(["Is it?", "Was it?"], ["yes", "no"])]
        ['prompt 1', 'prompt 2']
    """
    texts = _checks.strings("prompts", prompts)
    if not texts:
        raise _checks.fail("prompts", "at least one prompt", "none")
    if isinstance(options, str):
        raise TypeError(f"Expected `options` to be a list of strings, but got {options!r}")
    if all(isinstance(option, str) for option in options):
        choices: Sequence[Any] = [options] * len(texts)
    elif len(options) == len(texts):
        choices = options
    else:
        raise _checks.fail("options", f"of length {len(texts)} (as `prompts`)", len(options))
    return tuple(
        Question(f"prompt {number}", text, _checks.strings("options", own))
        for number, (text, own) in enumerate(zip(texts, choices, strict=True), start=1)
    )


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
