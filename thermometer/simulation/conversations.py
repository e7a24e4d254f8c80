"""Conversations whose chance of a right answer wanders slowly, seen through noise.

To test and plan what reacts to a confidence again and again. Nothing here knows how it reacts.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter
from scipy.special import expit, logit

from thermometer import _checks

Vector = NDArray[np.float64]

_NODES = 40  # of Gauss-Hermite quadrature; its error is below 1e-9 for spreads up to 2 logits


@dataclass(frozen=True, eq=False)
class Conversations:
    """K conversations of L answers each.

    Args:
        confidence: (K, L) in (0, 1).
        correct: (K, L) outcomes, 0 or 1.
        probability: (K, L) chance that the answer was right, from which the outcome was drawn.
    """

    confidence: Vector
    correct: Vector
    probability: Vector


def simulate_conversations(
    n_conversations: int,
    n_answers: int,
    *,
    centre: float = 0.8,
    spread: float = 0.5,
    persistence: float = 0.99,
    noise: float = 0.5,
    seed: int = 0,
) -> Conversations:
    """Draw conversations from a known law.

    The chance of a right answer is expit(z), where z wanders within each conversation as a
    stationary autoregression of mean logit(`centre`), standard deviation `spread` and correlation
    `persistence` between one answer and the next. What is seen is x = z + `noise` e, with e
    standard normal and new for every answer. The confidence is P(right given x), so that it is
    calibrated: z given x is normal, its mean is logit(centre) + r (x - logit(centre)) and its
    variance spread^2 (1 - r), where r = spread^2 / (spread^2 + noise^2), and expit is integrated
    over it. It rises with x.

    Args:
        n_conversations: Number K.
        n_answers: Number L of answers in each.
        centre: In (0, 1).
        spread: In logits, above 0 and at most 2.
        persistence: In [0, 1).
        noise: In logits, at least 0.
        seed: Equal arguments give equal conversations.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> drawn = simulate_conversations(2, 1000)
        >>> drawn.confidence.shape
        (2, 1000)
    """
    rows = _checks.integer("n_conversations", n_conversations)
    shape = rows, _checks.integer("n_answers", n_answers)
    centre = logit(_checks.number("centre", centre, maximum=1 - 1e-9, strict=True))
    spread = _checks.number("spread", spread, maximum=2.0, strict=True)
    persistence = _checks.number("persistence", persistence, maximum=1 - 1e-9)
    noise = _checks.number("noise", noise, maximum=100.0)
    rng = np.random.default_rng(_checks.integer("seed", seed, minimum=0))
    steps = np.sqrt(1 - persistence**2) * rng.standard_normal(shape)
    steps[:, 0] = rng.standard_normal(rows)
    wander = spread * lfilter([1.0], [1.0, -persistence], steps, axis=1)
    probability = expit(centre + wander)
    seen = wander + noise * rng.standard_normal(shape)
    correct = (rng.random(shape) < probability).astype(np.float64)
    return Conversations(_worth(seen, centre, spread, noise), correct, probability)


def _worth(seen: Vector, centre: float, spread: float, noise: float) -> Vector:
    """P(right) given x - logit(centre), by quadrature over what z may be."""
    known = spread**2 / (spread**2 + noise**2)
    node, weight = np.polynomial.hermite_e.hermegauss(_NODES)
    chance = np.zeros_like(seen)
    for step, share in zip(node, weight / weight.sum(), strict=True):
        chance += share * expit(centre + known * seen + spread * np.sqrt(1 - known) * step)
    return chance
