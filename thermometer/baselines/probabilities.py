"""Between probabilities, scores and confidences: for models that give probabilities only.

Nothing here is fitted.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thermometer import _checks


class InvertedSoftmax(NamedTuple):
    """Scores whose softmax are the given probabilities.

    Attributes:
        scores: (N, K) float64; ``-inf`` beyond the options of a row.
        n_floored: Number of probabilities below the floor, which now count as the floor.
    """

    scores: NDArray[np.float64]
    n_floored: int


def invert_softmax(
    probs: ArrayLike, floor: float, n_options: ArrayLike | None = None
) -> InvertedSoftmax:
    """Scores s_ik = log max(p_ik, floor), for probabilities that come without logits.

    A softmax forgets only a constant per row, which no temperature can see, so that the temperature
    fitted to these scores, and softmax(scores / t), are those of the lost logits (the "invert
    softmax" step of Wang et al. 2024, arXiv 2410.06707). Dividing the probabilities themselves by a
    temperature and taking the softmax of that is another, wrong thing: of six options even a
    certain one would get 0.35.

    Args:
        probs: (N, K); every row sums to one.
        floor: In (0, 1); what a smaller probability counts as. A model that states "0 %" does not
            mean minus infinity, but what it means nobody knows: the floor decides how much such a
            row costs when it is wrong, and thereby the fitted temperature. Report it.
        n_options: (N,) number of options of each row, where rows have fewer than K; all K by
            default.

    Raises:
        ValueError: If N is 0, a row does not sum to one, or the floor is out of range.

    Example:
        >>> inverted = invert_softmax([[0.8, 0.2, 0.0]], floor=0.01)
        >>> inverted.scores.round(3).tolist(), inverted.n_floored
        ([[-0.223, -1.609, -4.605]], 1)
    """
    probs = _checks.prob_matrix("probs", probs)
    floor = _checks.number("floor", floor, maximum=1 - 1e-9, strict=True)
    option = _options(n_options, probs)
    scores = np.where(option, np.log(np.maximum(probs, floor)), -np.inf)
    return InvertedSoftmax(scores, int((option & (probs < floor)).sum()))


def with_confidence(
    probs: ArrayLike, confidence: ArrayLike, n_options: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Give the answers new confidences; the other options share the rest in proportion.

    With a the first most probable option of a row and c its new confidence, q_a = c and
    q_k = (1 - c) p_k / (1 - p_a). Where p_a is 1 the others share equally. So a recalibrator of
    confidences becomes one of option probabilities. An answer whose new confidence is below the
    share of another option is no longer the most probable.

    Args:
        probs: (N, K); every row sums to one.
        confidence: (N,) in [0, 1].
        n_options: (N,) number of options of each row, where rows have fewer than K; all K by
            default.

    Returns:
        (N, K) float64; rows sum to one.

    Raises:
        ValueError: If N is 0, the lengths differ, a row does not sum to one or has a probability
            beyond its options, or a confidence is out of range.

    Example:
        >>> with_confidence([[0.8, 0.15, 0.05]], [0.6]).round(3).tolist()
        [[0.6, 0.3, 0.1]]
    """
    probs = _checks.prob_matrix("probs", probs)
    confidence = _checks.unit_interval("confidence", confidence, len(probs))
    option = _options(n_options, probs)
    each, answer = np.arange(len(probs)), probs.argmax(axis=1)
    others = probs.copy()
    others[each, answer] = 0
    alone = others.sum(axis=1) == 0
    others[alone] = option[alone]
    others[each, answer] = 0
    others /= others.max(axis=1, keepdims=True)  # a share of a number near 0 would overflow
    others *= ((1 - confidence) / others.sum(axis=1))[:, None]
    others[each, answer] = confidence
    return others


def _options(n_options: ArrayLike | None, probs: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(N, K), whether there is such an option."""
    n, width = probs.shape
    if n_options is None:
        return np.ones((n, width), dtype=bool)
    counts = _checks.vector("n_options", n_options, n)
    if (bad := (counts < 2) | (counts > width) | (counts % 1 > 0)).any():
        row = int(np.flatnonzero(bad)[0])
        raise _checks.fail("n_options", f"integers in [2, {width}]", f"{counts[row]} at row {row}")
    option: NDArray[np.bool_] = np.arange(width) < counts[:, None]
    if (bad := (probs * ~option).any(axis=1)).any():
        row = int(np.flatnonzero(bad)[0])
        raise _checks.fail("probs", "0 beyond the options", f"more at row {row}")
    return option
