"""Confidence by agreement: how many sampled answers mean the same."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from thermometer import _checks
from thermometer.free_form import Context, FreeFormTask, normalised, render_question
from thermometer.generation import MAX_NEW_TOKENS, lines_of
from thermometer.language_model import LanguageModel
from thermometer.signals.answers import Answered, Vector
from thermometer.templates import Template

Equivalence = Callable[[str, Sequence[tuple[str, str]]], Sequence[bool]]
"""Of a question and pairs of answers to it: whether the two of each pair mean the same."""


def same_words(_question: str, pairs: Sequence[tuple[str, str]]) -> list[bool]:
    """Equal but for case, punctuation, articles and blanks.

    Example:
        >>> same_words("Who wrote Faust?", [("Goethe", "goethe."), ("Goethe", "It was Goethe")])
        [True, False]
    """
    return [normalised(one) == normalised(other) for one, other in pairs]


def meanings(question: str, answers: Sequence[str], equivalence: Equivalence) -> list[int]:
    """The meaning of every answer, numbered from 0 in the order in which they appear.

    An answer has the first meaning whose first answer is equivalent to it, else a new one (the
    clustering of Kuhn, Gal and Farquhar 2023, "Semantic Uncertainty"). Equal texts are compared
    once; an empty one means the same as no other but an empty one.

    Args:
        question: The question that was answered.
        answers: Any number of answers.
        equivalence: Called once, with all pairs of different texts.

    Raises:
        ValueError: If `equivalence` gives another number of verdicts than it was given pairs.

    Example:
        >>> meanings("Who wrote Faust?", ["Goethe", "Schiller", "goethe", ""], same_words)
        [0, 1, 0, 2]
    """
    texts = list(dict.fromkeys(answer.strip() for answer in answers))
    asked = [(a, b) for j, b in enumerate(texts) for a in texts[:j] if a and b]
    verdicts = list(equivalence(question, asked)) if asked else []
    if len(verdicts) != len(asked):
        raise _checks.fail("equivalence", f"{len(asked)} verdicts", len(verdicts))
    same = {pair for pair, verdict in zip(asked, verdicts, strict=True) if verdict}
    firsts: list[str] = []
    meaning = {}
    for text in texts:
        known = next((i for i, first in enumerate(firsts) if (first, text) in same), len(firsts))
        if known == len(firsts):
            firsts.append(text)
        meaning[text] = known
    return [meaning[answer.strip()] for answer in answers]


def meaning_certainty(labels: Sequence[int]) -> float:
    r"""One minus the entropy of meanings over its largest value, in [0, 1].

    1 + sum_c s_c log s_c / log n, with s_c the share of the n samples that have meaning c: the
    discrete semantic entropy of Farquhar, Kossen, Kuhn and Gal (2024), normalised and turned round.

    Example:
        >>> [meaning_certainty(labels) for labels in ([0, 0, 0, 0], [0, 1, 2, 3], [0, 0, 1, 1])]
        [1.0, 0.0, 0.5]
    """
    share = np.unique(np.asarray(labels), return_counts=True)[1] / len(labels)
    return float(np.clip(1 + (share * np.log(share)).sum() / np.log(len(labels)), 0, 1))


@dataclass(frozen=True, slots=True, eq=False)
class Consistency:
    """What n samples to each of N questions say of the answers.

    Args:
        agreement: (N,) float64, share of the samples that mean the same as the answer; NaN where
            the answer is empty.
        certainty: (N,) float64 in [0, 1]: 1 if all samples mean the same, 0 if each means something
            else, see `meaning_certainty`.
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

    The question is asked as `free_form.answer` asks it. What is drawn for a question
    depends on the seed, the question's text and the model, not on what else is asked (Wang et al.
    2023, "Self-Consistency"; Kuhn, Gal and Farquhar 2023, "Semantic Uncertainty").

    Args:
        lm: The model.
        questions: See `p_true`.
        answers: One for each question, whose agreement with the samples is wanted.
        context: See `p_true`.
        n_samples: At least two; a share of samples is known to about 0.5 / sqrt(n_samples).
        seed: Equal seeds give equal samples.
        equivalence: Which answers mean the same: `same_words`, or a function of your own of a
            question and pairs of answers to it, such as one that asks an entailment classifier.
        chat: Ask as the user of a chat.
        max_new_tokens: Where a sample is cut that does not end with its line.

    Raises:
        TypeError: As `p_true`.
        ValueError: As `p_true`; also for fewer than two samples.
    """
    _checks.integer("n_samples", n_samples, minimum=2)
    _checks.integer("seed", seed, minimum=0)
    pairs = Answered.of(questions, answers, context)
    template = Template("verify", chat=chat)
    prompts = [render_question(question, template) for question in pairs.questions]
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
    rows = zip(pairs.questions, pairs.answers, samples, strict=True)
    for row, (question, answer, said) in enumerate(rows):
        own, *others = meanings(question.text, [answer, *said], equivalence)
        certainty[row] = meaning_certainty(others)
        if answer:
            agreement[row] = np.mean([other == own for other in others])
    return Consistency(agreement, certainty, samples)


def _seed(text: str, sample: int, seed: int) -> int:
    """A seed that depends on nothing else, in [0, 2**63)."""
    digest = hashlib.sha256(f"{seed} {sample} {text}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
