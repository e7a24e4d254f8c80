"""From what the members of a thermometer predict to a calibration."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from thermometer.domain import verdict
from thermometer.scaling import harmonic_mean, scale_scores
from thermometer.types import Calibration

Level = Literal["sample", "task"]
Vector = NDArray[np.float64]


def combined(
    b: Vector,
    ids: tuple[str, ...],
    scores: Vector | None,
    level: Level,
    spread: float,
    distances: Mapping[str, float],
    doubts: tuple[str, ...] = (),
) -> Calibration:
    """The calibration of N prompts of one task.

    The standard error of the log temperature of the task is the root of spread^2 plus the variance
    over members of theirs.

    Args:
        b: (M, N) minus the log temperature that each member predicts.
        ids: Of the prompts.
        scores: (N, K) to be divided, or `None`.
        level: Divide each row by its own temperature, or all by the task's.
        spread: How far predictions missed on held-out tasks; 0 if unknown.
        distances: As `Domain.distances` gives.
        doubts: Further warnings.

    Example:
        >>> b = -np.log([[1.0, 3.0], [1.0, 3.0]])
        >>> found = combined(b, ("a", "b"), None, "sample", 0.3, {})
        >>> found.temperature.round(3).tolist(), round(found.standard_error, 3), found.in_domain
        ([1.0, 3.0], 0.3, None)
    """
    temperature = np.exp(-b.mean(axis=0))
    task_temperature = harmonic_mean(temperature)
    of_members = np.log(np.exp(b).mean(axis=1))
    near, reason = verdict(distances)
    if not near:
        doubts = (*doubts, f"The task is unlike those of the training: {reason}.")
    used = temperature if level == "sample" else task_temperature
    return Calibration(
        ids,
        temperature,
        task_temperature,
        None if scores is None else scale_scores(scores, used),
        float(np.hypot(spread, of_members.std())) if spread else float("nan"),
        near if distances else None,
        distances,
        doubts,
    )
