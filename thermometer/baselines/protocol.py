"""What all recalibrators share: two kinds, told apart by what they read, and how they are saved.

One kind reads option scores, (N, K), and gives option probabilities; the other reads confidences,
(N,), and gives the probability that the answer is right. Both are scikit-learn estimators. Nothing
here knows a method of recalibration.
"""

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from thermometer import _checks
from thermometer.baselines import storage
from thermometer.baselines.storage import Kinds as Kinds

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_SMALLEST = float(np.finfo(np.float64).tiny)
_LARGEST = 1 - float(np.finfo(np.float64).epsneg)


class Recalibrator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A scikit-learn estimator whose fit is a few numbers, declared, checked and saved as such."""

    reads: ClassVar[Literal["scores", "confidence"]]
    fitted: ClassVar[Kinds]
    """What `fit` sets, by name (with the underscore at the end), and of what kind it is."""

    @property
    def notes_(self) -> tuple[str, ...]:
        """What the user should know about this fit before trusting it; empty if nothing."""
        return ()

    def save_pretrained(self, folder: str | Path) -> None:
        """Write parameters and fit to a folder, as JSON and safetensors; `baselines.load` reads it.

        Raises:
            FileExistsError: If the folder exists and holds anything but a recalibrator.
            sklearn.exceptions.NotFittedError: Before `fit`.
        """
        check_is_fitted(self)
        storage.write(
            folder,
            storage.Content(
                type(self).__name__,
                self.get_params(deep=False),
                {name: getattr(self, name) for name in self.fitted},
            ),
            self.fitted,
        )

    def __sklearn_is_fitted__(self) -> bool:
        return all(hasattr(self, name) for name in self.fitted)

    def _check_parameters(self) -> None:
        """Raise for parameters that no fit could use."""

    def _check_fit(self) -> None:
        """Raise for fitted values that `fit` could not have given; for what comes from a file."""


class ScoreRecalibrator(Recalibrator):
    """Reads unnormalised option scores and gives option probabilities.

    `scores` are (N, K), with ``-inf`` on the right of rows that have fewer than K options.

    Args:
        per_task: Fit every task by itself; `tasks` are then needed to fit and to predict.
    """

    reads = "scores"

    def __init__(self, per_task: bool = False) -> None:
        self.per_task = per_task

    @abstractmethod
    def fit(
        self, scores: ArrayLike, labels: ArrayLike | None = None, tasks: ArrayLike | None = None
    ) -> Self:
        """Learn from (N, K) scores, and from (N,) labels and task names where the method does."""

    @abstractmethod
    def predict_proba(self, scores: ArrayLike, tasks: ArrayLike | None = None) -> Matrix:
        """(N, K) probabilities; rows sum to one and padding has probability 0."""

    def _task_names(self, tasks: ArrayLike | None, n: int) -> NDArray[np.str_]:
        """Checked names of the tasks of N rows, which `per_task` needs."""
        if tasks is None:
            raise _checks.fail("tasks", "given, as `per_task` needs them", "None")
        array = np.asarray(tasks)
        if array.shape != (n,):
            raise _checks.fail("tasks", f"a vector of length {n}", f"shape {array.shape}")
        return array.astype(np.str_)

    def _check_parameters(self) -> None:
        if not isinstance(self.per_task, bool):
            raise TypeError(f"Expected `per_task` to be a boolean, but got {self.per_task!r}")


class ConfidenceRecalibrator(ClassifierMixin, Recalibrator):  # type: ignore[misc]
    """Reads confidences, (N,) or (N, 1), and gives the probability that the answer is right.

    To scikit-learn it is a binary classifier of answers: class 0 is wrong, class 1 is right.
    """

    reads = "confidence"
    classes_ = np.array([0, 1])

    def fit(self, confidence: ArrayLike, correct: ArrayLike) -> Self:
        """Learn from (N,) confidences in [0, 1] and whether each answer was right, (N,) 0 or 1.

        Raises:
            ValueError: If N is 0 or the lengths differ, or a value is NaN or out of range.
        """
        self._check_parameters()
        column = self._column(confidence)
        self._fit(column, _checks.binary("correct", correct, len(column)))
        return self

    def recalibrate(self, confidence: ArrayLike) -> Vector:
        """(N,) float64 probabilities of being right, in (0, 1).

        Raises:
            ValueError: If N is 0 or a value is NaN or out of range.
            sklearn.exceptions.NotFittedError: Before `fit`.
        """
        check_is_fitted(self)
        return inside(self._recalibrate(self._column(confidence)))

    def predict_proba(self, confidence: ArrayLike) -> Matrix:
        """(N, 2) float64: P(wrong), P(right). Errors are those of `recalibrate`."""
        right = self.recalibrate(confidence)
        return np.column_stack([1 - right, right])

    def predict(self, confidence: ArrayLike) -> NDArray[np.int64]:
        """(N,) int64: 1 where the answer is more probably right than wrong, else 0."""
        return (self.recalibrate(confidence) > 0.5).astype(np.int64)

    def _column(self, confidence: ArrayLike) -> Vector:
        """Checked confidences as (N,); the (N, 1) of scikit-learn is taken too."""
        return _checks.unit_interval("confidence", as_column(confidence))

    @abstractmethod
    def _fit(self, confidence: Vector, correct: Vector) -> None:
        """Learn from checked arguments."""

    @abstractmethod
    def _recalibrate(self, confidence: Vector) -> Vector:
        """Recalibrate checked confidences; in [0, 1]."""


def as_column(confidence: ArrayLike) -> NDArray[Any]:
    """(N, 1) as (N,), anything else as it is."""
    array = _checks.array("confidence", confidence)
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array


def inside(probability: Vector) -> Vector:
    """The nearest float64 numbers in the open interval (0, 1), so that no log is infinite."""
    return np.clip(probability, _SMALLEST, _LARGEST)


def share_tied(confidence: Vector, recalibrated: Vector) -> float:
    """Share of rows that now equal a row from which their confidence differed; in [0, 1].

    Example:
        >>> share_tied(np.array([0.1, 0.2, 0.2, 0.9]), np.array([0.5, 0.5, 0.5, 0.7]))
        0.75
    """
    _, level = np.unique(recalibrated, return_inverse=True)
    pairs = np.unique(np.column_stack([level, confidence]), axis=0)
    n_confidences = np.bincount(pairs[:, 0].astype(np.int64))
    return float((n_confidences[level] > 1).mean())
