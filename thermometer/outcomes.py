"""What a method makes of scores, row by row, and its sums over tasks and resamples of tasks.

A method is a temperature for every row, or probabilities with the option that it answers. One
`Outcomes` is one method. Nothing here knows where they come from or compares methods.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from thermometer import metrics
from thermometer.metrics.intervals import Resampled
from thermometer.metrics.smooth_calibration import residual_density, smooth_ece_of
from thermometer.scaling import scale_scores

Vector = NDArray[np.float64]

METRICS = ("accuracy", "nll", "brier", "ece_10", "ece_15", "smooth_ece", "gap")
_BINS = {"ece_10": 10, "ece_15": 15}


class Predicted(NamedTuple):
    """What a method that is no temperature says of N rows.

    Args:
        probs: (N, K) probabilities; 0 where a row has fewer than K options.
        answer: (N,) the option that it answers. It need not be the most probable one: a method may
            find that an answer is likely wrong without knowing which other option is right.
    """

    probs: Vector
    answer: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Confidence, correctness and losses of N rows that are sorted by task.

    Args:
        confidence: (N,) probability of the answer.
        correct: (N,) zeros and ones.
        nll: (N,) negative log-likelihood in nats.
        brier: (N,) squared error summed over options.
        starts: (T,) first row of each task.
    """

    confidence: Vector
    correct: Vector
    nll: Vector
    brier: Vector
    starts: NDArray[np.int64]

    @classmethod
    def measure(
        cls,
        scores: Vector,
        labels: NDArray[np.int64],
        temperature: Vector,
        starts: NDArray[np.int64],
    ) -> "Outcomes":
        """Outcomes of (N, K) scores and (N,) labels at (N,) temperatures.

        The answer is the highest score, whatever the temperature, so that `correct` is the same for
        every temperature. NLL = -log p_max + (s_max - s_y) / temperature, exact even where p_y is
        below the smallest float64.

        Example:
            >>> scores, labels = np.array([[2.0, 0.0]]), np.array([1])
            >>> outcomes = Outcomes.measure(scores, labels, np.array([2.0]), np.array([0]))
            >>> outcomes.confidence.round(3).tolist(), outcomes.nll.round(3).tolist()
            ([0.731], [1.313])
        """
        probs = scale_scores(scores, temperature)
        each = np.arange(len(labels))
        answer = scores.argmax(axis=1)
        confidence = probs.max(axis=1)
        if not (probs[each, answer] == confidence).all():
            raise RuntimeError("Expected temperatures to keep every answer, but one changed")
        lead = scores[each, answer] - scores[each, labels]
        return cls(
            confidence,
            (answer == labels).astype(np.float64),
            lead / temperature - np.log(confidence),
            np.einsum("nk,nk->n", probs, probs) - 2 * probs[each, labels] + 1,
            starts,
        )

    @classmethod
    def of_predicted(
        cls, predicted: Predicted, labels: NDArray[np.int64], starts: NDArray[np.int64]
    ) -> "Outcomes":
        """Outcomes of predicted probabilities; a label of probability 0 costs 708.4 nats.

        Example:
            >>> predicted = Predicted(np.array([[0.4, 0.6]]), np.array([0]))
            >>> outcomes = Outcomes.of_predicted(predicted, np.array([0]), np.array([0]))
            >>> outcomes.confidence.tolist(), outcomes.correct.tolist()
            ([0.4], [1.0])
        """
        probs, answer = predicted
        each = np.arange(len(labels))
        chosen = probs[each, labels]
        return cls(
            probs[each, answer],
            (answer == labels).astype(np.float64),
            -np.log(np.maximum(chosen, np.finfo(np.float64).tiny)),
            np.einsum("nk,nk->n", probs, probs) - 2 * chosen + 1,
            starts,
        )

    @property
    def sizes(self) -> NDArray[np.int64]:
        """(T,) number of rows of each task."""
        return np.diff(self.starts, append=len(self.confidence))

    def per_task(self) -> dict[str, Vector]:
        """(T,) values of every metric in `METRICS`."""
        rows = [slice(s, s + n) for s, n in zip(self.starts, self.sizes, strict=True)]

        def mean(values: Vector) -> Vector:
            return np.array([values[r].mean() for r in rows])

        def error(measure: Callable[..., float], *arguments: int) -> Vector:
            return np.array(
                [measure(self.confidence[r], self.correct[r], *arguments) for r in rows]
            )

        return {
            "accuracy": mean(self.correct),
            "nll": mean(self.nll),
            "brier": mean(self.brier),
            "ece_10": error(metrics.expected_calibration_error, 10),
            "ece_15": error(metrics.expected_calibration_error, 15),
            "smooth_ece": error(metrics.smooth_ece),
            "gap": mean(self.confidence - self.correct),
        }

    def all_rows(self, counts: Vector) -> dict[str, Resampled]:
        """Every metric of all rows together, also on resamples of tasks.

        Args:
            counts: (R, T) as `intervals.task_counts` gives. Each metric is a function of sums over
                tasks, so that a resample costs one row of a matrix product.
        """
        drawn = counts @ self.sizes
        gap = self.confidence - self.correct
        result = {}
        for name, values in (
            ("accuracy", self.correct),
            ("nll", self.nll),
            ("brier", self.brier),
            ("gap", gap),
        ):
            sums = np.add.reduceat(values, self.starts)
            result[name] = Resampled(float(values.mean()), counts @ sums / drawn)
        task = np.repeat(np.arange(len(self.starts)), self.sizes)
        for name, n_bins in _BINS.items():
            cell = task * n_bins + metrics.bin_index(self.confidence, n_bins)
            gaps = np.bincount(cell, gap, n_bins * len(self.starts)).reshape(-1, n_bins)
            ece = metrics.expected_calibration_error(self.confidence, self.correct, n_bins)
            result[name] = Resampled(ece, np.abs(counts @ gaps).sum(axis=1) / drawn)
        densities = np.array(
            [
                residual_density(self.confidence[s : s + n], self.correct[s : s + n])
                for s, n in zip(self.starts, self.sizes, strict=True)
            ]
        )
        smooth = smooth_ece_of(counts @ densities / drawn[:, None])
        result["smooth_ece"] = Resampled(metrics.smooth_ece(self.confidence, self.correct), smooth)
        return {name: result[name] for name in METRICS}

    def floor(self, seed: int = 0) -> dict[str, dict[str, float]]:
        """The ECE that these confidences would score on so few rows if they were calibrated."""
        parts = np.split(self.confidence, self.starts[1:])
        floor, seeds = metrics.calibration_floor, range(seed, seed + len(parts))
        return {
            "mean_over_tasks": {
                name: float(
                    np.mean([floor(p, n, seed=s) for p, s in zip(parts, seeds, strict=True)])
                )
                for name, n in _BINS.items()
            },
            "all_rows": {name: floor(self.confidence, n, seed=seed) for name, n in _BINS.items()},
        }
