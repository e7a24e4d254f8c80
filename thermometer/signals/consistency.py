"""Whether a model says the same again when it is asked several times."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from thermometer import _checks
from thermometer.free_form.question_inputs import Context
from thermometer.free_form.questions import FreeFormTask
from thermometer.llm.generation import MAX_NEW_TOKENS, lines_of
from thermometer.llm.language_model import LanguageModel
from thermometer.signals.answered import Answered, Vector
from thermometer.signals.meanings import Equivalence, meaning_certainty, meanings, same_words
from thermometer.templates import Template


@dataclass(frozen=True, slots=True, eq=False)
class Consistency:
    """What n samples to each of N questions say of the answers.

    Args:
        agreement: (N,) float64, share of the samples that mean the same as the answer; NaN where
            the answer is empty.
        certainty: (N,) float64 in [0, 1]: 1 if all samples mean the same, 0 if each means something
            else, see `meanings.meaning_certainty`.
        samples: (N, n) what was said.
    """

    agreement: Vector
    certainty: Vector
    samples: tuple[tuple[str, ...], ...]


def consistency(
    lm: LanguageModel,
    questions: FreeFormTask | Sequence[str],
    answers: Sequence[str],
    context: Context = None,
    *,
    n_samples: int = 10,
    seed: int = 0,
    equivalence: Equivalence = same_words,
    chat: bool = False,
    max_new_tokens: int = MAX_NEW_TOKENS,
) -> Consistency:
    """Sample answers at temperature 1, and count the meanings among them and the answer.

    The question is asked as `free_form.answering.answer` asks it. What is drawn for a question
    depends on the seed, the question's text and the model, not on what else is asked (Wang et al.
    2023, "Self-Consistency"; Kuhn, Gal and Farquhar 2023, "Semantic Uncertainty").

    Args:
        lm: The model.
        questions: Texts without a frame, or a task.
        answers: One for each question, whose agreement with the samples is wanted.
        context: A passage for all texts, or one for each; a task brings its own.
        n_samples: At least two; a share of samples is known to about 0.5 / sqrt(n_samples).
        seed: Equal seeds give equal samples.
        equivalence: Which answers mean the same: `same_words`, an `Entailment`, or a function of
            your own of a question and pairs of answers to it.
        chat: Ask as the user of a chat.
        max_new_tokens: Where a sample is cut that does not end with its line.

    Raises:
        TypeError: If `questions` or `answers` is one string.
        ValueError: For no questions, as many answers as do not fit, fewer than two samples, or a
            prompt over the model's context.
    """
    _checks.integer("n_samples", n_samples, minimum=2)
    _checks.integer("seed", seed, minimum=0)
    pairs = Answered.of(questions, answers, context)
    template = Template("verify", chat=chat)
    prompts = [template.render_open(question) for question in pairs.questions]
    drawn = lines_of(
        lm,
        [prompt for prompt in prompts for _ in range(n_samples)],
        seeds=[_seed(prompt.text, i, seed) for prompt in prompts for i in range(n_samples)],
        max_new_tokens=max_new_tokens,
    )
    samples = tuple(
        tuple(line.text for line in drawn[start : start + n_samples])
        for start in range(0, len(drawn), n_samples)
    )
    agreement = np.full(len(samples), np.nan)
    certainty = np.empty(len(samples))
    for row, (question, answer, said) in enumerate(
        zip(pairs.questions, pairs.answers, samples, strict=True)
    ):
        own, *others = meanings(question.text, [answer, *said], equivalence)
        certainty[row] = meaning_certainty(others)
        if answer:
            agreement[row] = np.mean([other == own for other in others])
    return Consistency(agreement, certainty, samples)


def _seed(text: str, sample: int, seed: int) -> int:
    """A seed that depends on nothing else, in [0, 2**63)."""
    digest = hashlib.sha256(f"{seed} {sample} {text}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
