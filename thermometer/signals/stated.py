"""The confidence that a model states when it is asked for it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from thermometer import _checks
from thermometer.free_form.question_inputs import Context
from thermometer.free_form.questions import FreeFormQuestion, FreeFormTask
from thermometer.llm.generation import lines_of
from thermometer.llm.language_model import LanguageModel
from thermometer.signals.answered import Answered, Vector
from thermometer.signals.reading import SCALES, Scale, read_confidence
from thermometer.templates import Prompt

_ASKED: dict[Scale, str] = {
    "percent": "a percentage from 0% (surely wrong) to 100% (surely right)",
    "unit": "a number from 0.00 (surely wrong) to 1.00 (surely right)",
}


@dataclass(frozen=True, slots=True, eq=False)
class Stated:
    """What a model says of its confidence.

    Args:
        confidence: (N,) float64 in [0, 1], NaN where no number could be read.
        replies: (N,) what was said; `None` where the answer is empty, and nothing was asked.
    """

    confidence: Vector
    replies: tuple[str | None, ...]

    @property
    def parse_rate(self) -> float:
        """Share of the replies in which a number could be read; NaN if there are no replies."""
        n_replies = sum(reply is not None for reply in self.replies)
        return int((~np.isnan(self.confidence)).sum()) / n_replies if n_replies else float("nan")


def stated_confidence(
    lm: LanguageModel,
    questions: FreeFormTask | Sequence[str],
    answers: Sequence[str],
    context: Context = None,
    *,
    scale: Scale = "percent",
    chat: bool = False,
    max_new_tokens: int = 24,
) -> Stated:
    """Ask a model in words how likely an answer is to be correct, and read the number.

    One question more for each answer, asked after it (Tian et al. 2023, "Just Ask for Calibration";
    Xiong et al. 2024, "Can LLMs Express Their Uncertainty?"), answered greedily. What models say so
    is mostly too high, and small models say it without looking: recalibrate it.

    Args:
        lm: The model.
        questions: Texts without a frame, or a task.
        answers: One for each question, of the same model or another.
        context: A passage for all texts, or one for each; a task brings its own.
        scale: On which the model is asked, and a bare number is read, see `read_confidence`.
        chat: Ask as the user of a chat.
        max_new_tokens: Where a reply is cut that does not end with its line.

    Raises:
        TypeError: If `questions` or `answers` is one string.
        ValueError: For no questions, as many answers as do not fit, an unknown scale, or a prompt
            over the model's context.
    """
    _checks.one_of("scale", scale, SCALES)
    pairs = Answered.of(questions, answers, context)
    given = pairs.given()
    prompts = [_prompt(question, answer, scale, chat) for question, answer in given]
    said: dict[str, str] = {}
    if prompts:
        lines = lines_of(lm, prompts, max_new_tokens=max_new_tokens)
        said = {prompt.id: line.text for prompt, line in zip(prompts, lines, strict=True)}
    read = [read_confidence(said[question.id], scale) for question, _ in given]
    confidence = pairs.spread([np.nan if value is None else value for value in read])
    return Stated(confidence, tuple(said.get(question.id) for question in pairs.questions))


def _prompt(question: FreeFormQuestion, answer: str, scale: Scale, chat: bool) -> Prompt:
    context = f"Context: {question.context}\n" if question.context else ""
    text = (
        f"{context}Question: {question.text}\nAnswer: {answer}\n\n"
        f"How confident are you that this answer is correct? Write {_ASKED[scale]} and nothing "
        "else."
    )
    text = text if chat else f"{text}\nConfidence:"
    return Prompt(question.id, text, chat=chat)
