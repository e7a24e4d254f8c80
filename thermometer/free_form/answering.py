"""Answers in words with a confidence: generate, ask whether it is correct, calibrate the reply.

The self-verification of Shen et al. (2024), after P(True) of Kadavath et al. (2022). How scores are
calibrated is the caller's business.
"""

from collections.abc import Callable, Sequence

from thermometer.free_form.answers import FreeFormAnswer
from thermometer.free_form.questions import VERDICTS, FreeFormQuestion, verify_question
from thermometer.llm.generation import Line, lines_of
from thermometer.llm.language_model import LanguageModel
from thermometer.templates import Template
from thermometer.types import Calibration, Task

EMPTY = "The answer is empty: there is nothing to be confident of."

Calibrate = Callable[[Task], tuple[Calibration, Sequence[float]]]
"""Gives the calibration of a task, and the temperature that each row was divided by."""


def answered(
    lm: LanguageModel,
    asked: Sequence[FreeFormQuestion],
    template: Template,
    *,
    max_new_tokens: int,
    token_budget: int,
) -> list[Line]:
    """What a model says to questions, in their order."""
    prompts = [template.render_open(question) for question in asked]
    return lines_of(lm, prompts, max_new_tokens=max_new_tokens, token_budget=token_budget)


def verified(
    asked: Sequence[FreeFormQuestion], lines: Sequence[Line], calibrate: Calibrate
) -> list[FreeFormAnswer]:
    """Answers with the calibrated probability that the model gives to their being correct."""
    given = [
        verify_question(question, line.text)
        for question, line in zip(asked, lines, strict=True)
        if line.text.strip()
    ]
    found: dict[str, tuple[float, dict[str, float], float, tuple[str, ...]]] = {}
    if given:
        result, temperatures = calibrate(Task("questions", tuple(given)))
        assert result.probs is not None
        for asked_again, probs, temperature in zip(given, result.probs, temperatures, strict=True):
            told = dict(zip(VERDICTS, map(float, probs), strict=True))
            found[asked_again.id] = (told[VERDICTS[0]], told, temperature, result.warnings)
    answers = []
    for question, line in zip(asked, lines, strict=True):
        cut = f"The answer was cut at {line.cut_at} tokens."
        notes = () if line.cut_at is None else (cut,)
        same = (question.id, question.text, line.text)
        if question.id in found:
            confidence, told, temperature, warnings = found[question.id]
            answers.append(
                FreeFormAnswer(*same, confidence, told, temperature, (*warnings, *notes))
            )
        else:
            answers.append(FreeFormAnswer(*same, None, {}, None, (EMPTY, *notes)))
    return answers
