"""Guaranteed thresholds for several groups of answers at once."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from thermometer import _checks
from thermometer.routing.guarantee import GuaranteedThreshold, guaranteed_threshold


def guaranteed_thresholds(
    confidence: ArrayLike,
    correct: ArrayLike,
    groups: ArrayLike,
    *,
    risk: float = 0.05,
    delta: float = 0.05,
    unlabelled: Mapping[str, ArrayLike] | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, GuaranteedThreshold]:
    """A threshold per group (kind of query), all of whose guarantees hold at once.

    Each of the G groups gets `delta` / G, so that with a chance of at least 1 - `delta` none of
    their risks is above `risk` (Bonferroni). A group whose rows are too few is refused; the others
    keep their thresholds. Give G as few groups as matter: each makes the labels needed rise.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) booleans, or zeros and ones.
        groups: (N,) group of every row, as text.
        risk: Largest share of wrong answers among those accepted, in every group.
        delta: Chance that any group has a larger one.
        unlabelled: Confidences of other answers by group; groups that it lacks do without.
        level: Coverage of the bounds of each share accepted.
        seed: Of the rows that lay the grids.

    Raises:
        ValueError: As `guaranteed_threshold`; also if `groups` has another length, or `unlabelled`
            names a group without labelled rows.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> confidence, topic = rng.beta(5, 1, 4000), np.repeat(["art", "law"], 2000)
        >>> correct = rng.random(4000) < confidence - 0.2 * (topic == "law")
        >>> found = guaranteed_thresholds(confidence, correct, topic, risk=0.1)
        >>> {name: one.enough for name, one in found.items()}
        {'art': True, 'law': False}
    """
    claimed, outcome = _checks.outcomes(confidence, correct)
    named = np.asarray(groups)
    if named.shape != claimed.shape:
        raise _checks.fail("groups", f"a vector of length {len(claimed)}", f"shape {named.shape}")
    names = [str(name) for name in np.unique(named)]
    delta = _checks.number("delta", delta, maximum=1 - 1e-9, strict=True) / len(names)
    others = dict(unlabelled or {})
    if unknown := sorted(set(others) - set(names)):
        raise _checks.fail("unlabelled", f"of the groups {', '.join(names)}", ", ".join(unknown))
    return {
        name: guaranteed_threshold(
            claimed[named == name],
            outcome[named == name],
            risk=risk,
            delta=delta,
            unlabelled=others.get(name),
            level=level,
            seed=seed,
        )
        for name in names
    }
