"""How far a new task is from the tasks of the training: a sign that predictions may not hold.

Every task is a point for each source: the mean of what the network reads of its rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
_MODELS = "models"
_WORDS = {
    "features": "the hidden states of its prompts",
    "scores": "the shape of its scores",
    "places": "the places that get high scores",
    "fair": "its scores without the liking for places",
    "reference": "what the reference model says",
}


@dataclass(frozen=True, eq=False)
class Domain:
    """The training tasks as points.

    Args:
        points: By source, (T, R): one row per training task of each answering model; none if
            nobody knows them.
        models: (T,) the answering model of each row; one for all by default. How far training
            tasks are from one another is a matter of tasks of one model: the same task answered by
            another would always be near.

    Example:
        >>> domain = Domain({"scores": np.array([[0.0], [1.0], [2.0]])})
        >>> domain.distances({"scores": np.array([1.4])})["scores"] < 1
        True
        >>> domain.distances({"scores": np.array([9.0])})["scores"] > 1
        True
    """

    points: Mapping[str, Matrix] = field(default_factory=dict)
    models: NDArray[np.int64] | None = None

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Matrix]) -> "Domain":
        """The inverse of `arrays`."""
        points = {name: values for name, values in arrays.items() if name != _MODELS}
        if _MODELS not in arrays:
            return cls(points)
        return cls(points, arrays[_MODELS].astype(np.int64))

    @property
    def arrays(self) -> dict[str, Matrix]:
        """Points and models as a checkpoint keeps them."""
        if self.models is None:
            return dict(self.points)
        return {**self.points, _MODELS: self.models.astype(np.float64)}

    def distances(self, point: Mapping[str, Matrix]) -> dict[str, float]:
        """Distance to the nearest training task, in units of the farthest that one of them has.

        Args:
            point: By source, (R,): the new task.

        Returns:
            By source; at most 1 if some training task is as far from all others. Empty if there
            are fewer than three training tasks.
        """
        found = {}
        for name, tasks in self.points.items():
            fewest = len(tasks) if self.models is None else np.bincount(self.models).min()
            if fewest < 3:
                continue
            spread = tasks.std(axis=0)
            scale = np.where(spread > 1e-6, spread, np.inf)
            scaled = tasks / scale
            apart = np.linalg.norm(scaled[:, None] - scaled[None], axis=2)
            np.fill_diagonal(apart, np.inf)
            if self.models is not None:
                apart[self.models[:, None] != self.models[None]] = np.inf
            usual = float(apart.min(axis=1).max())
            nearest = float(np.linalg.norm(scaled - point[name] / scale, axis=1).min())
            found[name] = nearest / max(usual, 1e-12)
        return found


def verdict(distances: Mapping[str, float]) -> tuple[bool, str]:
    """Whether a task is among its like, and if not, why.

    Example:
        >>> verdict({"scores": 2.0, "features": 0.5})
        (False, 'in the shape of its scores it is 2.0 times as far from the nearest training \
task as these ever are')
        >>> verdict({"scores": 0.9})
        (True, '')
    """
    far = {name: ratio for name, ratio in distances.items() if ratio > 1}
    reasons = [
        f"in {_WORDS.get(name, name)} it is {_times(ratio)} times as far from the nearest training "
        "task as these ever are"
        for name, ratio in sorted(far.items(), key=lambda item: -item[1])
    ]
    return not far, "; ".join(reasons)


def _times(ratio: float) -> str:
    """A ratio in words; where training tasks hardly differ, everything else is infinitely far."""
    return f"{ratio:.1f}" if ratio < 1000 else "over 1,000"
