"""The probability that a model gives to an answer as a text."""

from collections.abc import Sequence

import numpy as np

from thermometer.free_form.question_inputs import Context
from thermometer.free_form.questions import FreeFormTask
from thermometer.llm.language_model import LanguageModel
from thermometer.signals.answered import Answered, Vector
from thermometer.templates import Prompt, Template


def sequence_probability(
    lm: LanguageModel,
    questions: FreeFormTask | Sequence[str],
    answers: Sequence[str],
    context: Context = None,
    *,
    normalised: bool = True,
    chat: bool = False,
) -> Vector:
    """How probable the tokens of each answer are after its question.

    With t_1 ... t_L the tokens of the answer, exp(sum_l log p(t_l | question, t_<l) / L), their
    geometric mean (Malinin and Gales 2021, "Uncertainty Estimation in Autoregressive Structured
    Prediction"), or without the division the probability of the whole. The end of the answer is not
    counted. The question is asked as `free_form.answering.answer` asks it.

    Args:
        lm: The model that answered, or another one.
        questions: Texts without a frame, or a task.
        answers: One for each question.
        context: A passage for all texts, or one for each; a task brings its own.
        normalised: Divide by the number of tokens, so that long answers are not unlikely as such.
        chat: Ask as the user of a chat.

    Returns:
        (N,) float64 in [0, 1]; NaN where the answer is empty.

    Raises:
        TypeError: If `questions` or `answers` is one string.
        ValueError: For no questions, as many answers as do not fit, or a prompt over the model's
            context.
    """
    pairs = Answered.of(questions, answers, context)
    template = Template("verify", chat=chat)
    prompts = []
    for question, answer in pairs.given():
        asked = template.render_open(question)
        prompts.append(Prompt(asked.id, asked.text, (answer if chat else f" {answer}",), chat))
    if not prompts:
        return pairs.spread([])
    norm = Template("cloze", norm="token" if normalised else "none", chat=chat)
    scores = lm.outputs(prompts, norm, features=False).scores
    assert scores is not None
    return pairs.spread(np.exp(scores[:, 0].astype(np.float64)))
