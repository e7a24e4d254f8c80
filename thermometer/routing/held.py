"""How high a threshold a history passes with hysteresis, so that guarantees hold for the router."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit

from thermometer import _checks


def held_confidence(confidence: ArrayLike, width: float = 0.75) -> NDArray[np.float64]:
    """The highest threshold at which a router accepts each answer of a key.

    h_i = max(expit(logit(c_i) - width), min(h_(i-1), c_i)), with h_0 = 0: a router with
    `Bands.around` a threshold t and the same width accepts the i-th answer exactly if h_i >= t,
    since it has either reached the far edge or was accepted before and is not below the near one
    (rejecting plays no part). So h is a confidence that a hard cutoff reads as the router reads c.

    Give h of **one answer of each key, drawn at random**, and whether it was right, to
    `guaranteed_threshold`: these rows are independent, and the guarantee is about the answers that
    the router accepts, hysteresis included. Keys to come must be as long as those of the labels.

    Args:
        confidence: (L,) all confidences of one key in their order, in [0, 1].
        width: That of the bands, in logits.

    Returns:
        (L,) in [0, 1], never above the confidence.

    Raises:
        ValueError: If a confidence is NaN or outside [0, 1], or L is 0.

    Example:
        >>> held_confidence([0.85, 0.95, 0.85, 0.8], width=0.75).round(3).tolist()
        [0.728, 0.9, 0.85, 0.8]
    """
    claimed = _checks.unit_interval("confidence", confidence)
    width = _checks.number("width", width, maximum=1e3)
    entered = np.minimum(expit(logit(claimed) - width), claimed) if width else claimed
    held = np.empty_like(claimed)
    last = 0.0
    for place, (entry, c) in enumerate(zip(entered.tolist(), claimed.tolist(), strict=True)):
        held[place] = last = max(entry, min(last, c))
    return held
