"""Confidence read off probabilities: of the answer, of its options, of "it is true"."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import xlogy

from thermometer import _checks
from thermometer.free_form import (
    Context,
    FreeFormQuestion,
    FreeFormTask,
    answers_to,
    render_question,
    verify_question,
    without_options,
)
from thermometer.language_model import LanguageModel
from thermometer.scaling import scale_scores
from thermometer.templates import Prompt, Template

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Answered:
    """N questions, and the answer to each; an empty one has no signal.

    Args:
        questions: At least one.
        answers: As many, without white space around them.
    """

    questions: tuple[FreeFormQuestion, ...]
    answers: tuple[str, ...]

    @classmethod
    def of(
        cls,
        questions: FreeFormTask | Sequence[str],
        answers: Sequence[str],
        context: Context = None,
    ) -> "Answered":
        """Pair questions and answers.

        Raises:
            TypeError: If one string stands where several are meant.
            ValueError: For no questions, or as many answers or passages as do not fit.
        """
        asked = without_options(questions, context)
        return cls(asked, tuple(text.strip() for text in answers_to(asked, answers)))

    def given(self) -> list[tuple[FreeFormQuestion, str]]:
        """The questions whose answer is not empty."""
        pairs = zip(self.questions, self.answers, strict=True)
        return [(question, answer) for question, answer in pairs if answer]

    def spread(self, values: ArrayLike) -> Vector:
        """(N,) float64 out of the values of `given`; NaN where the answer is empty."""
        result = np.full(len(self.answers), np.nan)
        result[[bool(answer) for answer in self.answers]] = values
        return result


def largest_probability(scores: ArrayLike) -> Vector:
    """(N,) probability of the most probable option, max_k p_k, in [1/K, 1].

    Args:
        scores: (N, K) unnormalised, ``-inf`` in short rows, as for the other two; p is their
            softmax.

    Raises:
        ValueError: For scores that are not finite, or fewer than two options.

    Example:
        >>> largest_probability([[np.log(3.0), 0.0]]).round(2).tolist()
        [0.75]
    """
    largest: Vector = _probs(scores).max(axis=1)
    return largest


def margin(scores: ArrayLike) -> Vector:
    """(N,) probability of the most probable option less that of the second, in [0, 1].

    Errors are those of `largest_probability`.

    Example:
        >>> margin([[np.log(3.0), 0.0]]).round(2).tolist()
        [0.5]
    """
    two = np.partition(_probs(scores), -2, axis=1)[:, -2:]
    difference: Vector = two[:, 1] - two[:, 0]
    return difference


def option_certainty(scores: ArrayLike) -> Vector:
    """(N,) one minus the entropy over its largest value, 1 + sum_k p_k log p_k / log K, in [0, 1].

    K is the number of options of the row. Errors are those of `largest_probability`.

    Example:
        >>> option_certainty([[0.0, 0.0, -np.inf], [9.0, 0.0, 0.0]]).round(2).tolist()
        [0.0, 1.0]
    """
    matrix = _checks.score_matrix("scores", scores)
    probs = scale_scores(matrix, 1.0)
    n_options = np.isfinite(matrix).sum(axis=1)
    certainty: Vector = 1 + xlogy(probs, probs).sum(axis=1) / np.log(n_options)
    return certainty.clip(0, 1)


def _probs(scores: ArrayLike) -> Vector:
    return scale_scores(_checks.score_matrix("scores", scores), 1.0)


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
        asked = render_question(question, template)
        prompts.append(Prompt(asked.id, asked.text, (answer if chat else f" {answer}",), chat))
    if not prompts:
        return pairs.spread([])
    norm = Template("cloze", norm="token" if normalised else "none", chat=chat)
    scores = lm.outputs(prompts, norm, features=False).scores
    assert scores is not None
    return pairs.spread(np.exp(scores[:, 0].astype(np.float64)))
