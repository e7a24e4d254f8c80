"""Which answers mean the same, and how many meanings there are among samples.

Nothing here knows how samples were made.
"""

from collections.abc import Callable, Sequence

import numpy as np

from thermometer import _checks
from thermometer.free_form.judging import normalised

Equivalence = Callable[[str, Sequence[tuple[str, str]]], Sequence[bool]]
"""Of a question and pairs of answers to it: whether the two of each pair mean the same."""


def same_words(_question: str, pairs: Sequence[tuple[str, str]]) -> list[bool]:
    """Equal but for case, punctuation, articles and blanks, see `judging.normalised`.

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
        question: What the answers answer.
        answers: In any number.
        equivalence: Asked once, about all pairs of different texts.

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

    Args:
        labels: Meanings of at least two samples.

    Example:
        >>> [meaning_certainty(labels) for labels in ([0, 0, 0, 0], [0, 1, 2, 3], [0, 0, 1, 1])]
        [1.0, 0.0, 0.5]
    """
    share = np.unique(np.asarray(labels), return_counts=True)[1] / len(labels)
    return float(np.clip(1 + (share * np.log(share)).sum() / np.log(len(labels)), 0, 1))
