"""The probability that a model gives to its answer being correct, when asked yes or no."""

from collections.abc import Sequence

from thermometer.free_form.question_inputs import Context
from thermometer.free_form.questions import FreeFormTask, verify_question
from thermometer.llm.language_model import LanguageModel
from thermometer.scaling import scale_scores
from thermometer.signals.answered import Answered, Vector
from thermometer.templates import Template


def p_true(
    lm: LanguageModel,
    questions: FreeFormTask | Sequence[str],
    answers: Sequence[str],
    context: Context = None,
    *,
    chat: bool = False,
) -> Vector:
    """P(Yes) of Yes and No to "is this answer correct?" (P(True) of Kadavath et al. 2022).

    It is what `free_form.answering.verify` calibrates, at temperature 1.

    Args:
        lm: The model.
        questions: Texts without a frame, or a task.
        answers: One for each question, of the same model or another.
        context: A passage for all texts, or one for each; a task brings its own.
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
    prompts = [template.render(verify_question(*pair)) for pair in pairs.given()]
    if not prompts:
        return pairs.spread([])
    scores = lm.outputs(prompts, template, features=False).scores
    assert scores is not None
    return pairs.spread(scale_scores(scores, 1.0)[:, 0])
