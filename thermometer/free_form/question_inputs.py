"""What was handed over as free-form questions: a task, or plain texts made into questions."""

from collections.abc import Sequence

from thermometer import _checks
from thermometer.free_form.questions import FreeFormQuestion, FreeFormTask

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
