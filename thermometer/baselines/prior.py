"""Dividing option probabilities by what the model tends to say anyway.

The formula that batch, contextual and domain-context calibration share; they differ in the prompts
from which the tendency is learned. It reads option scores and needs no labels.
"""

from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax, logsumexp
from sklearn.utils.validation import check_is_fitted

from thermometer import _checks
from thermometer.baselines.protocol import Kinds, Matrix, ScoreRecalibrator, Vector
from thermometer.scaling import scale_scores

_ALL = ""  # the group of all rows together; no task has this name


class PriorCalibration(ScoreRecalibrator):
    """q_ik = (p_ik / m_k) / sum_j (p_ij / m_j), with m the mean probabilities of the fitted rows.

    In scores: softmax(s_i - log m), computed in float64 without underflow. Options count by their
    position, which must mean the same in all rows (the letters of a letter prompt, or the same
    options in each question). Rows of different K do not mix: there is one mean for every number of
    options that was fitted.

    **The answer may change**, and with it the accuracy: an option that the model says whatever it
    is asked loses. Confidence is not made true by it, only the preference among positions is taken
    out; a temperature fitted afterwards is not part of it.

    Args:
        per_task: One mean for each task. `tasks` are then needed to fit and to predict; a task that
            was not fitted, or not with so many options, gets the mean of all rows together.

    Attributes:
        groups_: Names of the tasks of the G means; "" stands for all rows together.
        n_options_: (G,) int64, the number of options of each mean.
        log_prior_: (G, K) float64, log m; 0 beyond the options.
    """

    fitted: ClassVar[Kinds] = {
        "groups_": "texts",
        "n_options_": "counts",
        "log_prior_": "matrix",
    }

    def fit(
        self, scores: ArrayLike, labels: ArrayLike | None = None, tasks: ArrayLike | None = None
    ) -> Self:
        """Learn the means from (M, K) scores; `labels` are not looked at.

        Raises:
            ValueError: If M is 0, if `tasks` are missing with `per_task`, or an argument is
                malformed.
        """
        self._check_parameters()
        logits, n_options = _logits(scores)
        if not len(logits):
            raise _checks.fail("scores", "at least one row", "none")
        names = self._names(tasks, len(logits))
        kinds = [(_ALL, k, n_options == k) for k in np.unique(n_options)]
        if self.per_task:
            kinds += [
                (str(name), k, rows)
                for name in np.unique(names)
                for k in np.unique(n_options)
                if (rows := (names == name) & (n_options == k)).any()
            ]
        log_prior = np.zeros((len(kinds), logits.shape[1]))
        for row, (_, k, rows) in enumerate(kinds):
            log_probs = log_softmax(logits[rows, :k], axis=1)
            log_prior[row, :k] = logsumexp(log_probs, axis=0) - np.log(rows.sum())
        self.groups_ = tuple(name for name, _, _ in kinds)
        self.n_options_ = np.array([k for _, k, _ in kinds], np.int64)
        self.log_prior_ = log_prior
        return self

    def predict_proba(self, scores: ArrayLike, tasks: ArrayLike | None = None) -> Matrix:
        """(N, K) float64 probabilities; `tasks` are needed with `per_task`, else unused.

        Raises:
            ValueError: If a row has a number of options with which no row was fitted, if `tasks`
                are missing with `per_task`, or an argument is malformed.
            sklearn.exceptions.NotFittedError: Before `fit`.
        """
        check_is_fitted(self)
        logits, n_options = _logits(scores)
        names = self._names(tasks, len(logits))
        place = {key: i for i, key in enumerate(zip(self.groups_, self.n_options_, strict=True))}
        moved = logits.copy()
        for row, (name, k) in enumerate(zip(names, n_options, strict=True)):
            found = place.get((str(name), k), place.get((_ALL, k)))
            if found is None:
                fitted = ", ".join(map(str, np.unique(self.n_options_)))
                raise _checks.fail("scores", f"rows of {fitted} options", f"{k} at row {row}")
            moved[row, :k] -= self.log_prior_[found, :k]
        return scale_scores(moved, 1.0)

    def _names(self, tasks: ArrayLike | None, n: int) -> NDArray[np.str_]:
        return self._task_names(tasks, n) if self.per_task else np.full(n, _ALL)

    def _check_fit(self) -> None:
        n, width = self.log_prior_.shape
        if not n == len(self.groups_) == len(self.n_options_):
            raise _checks.fail("groups_", f"of length {n}", len(self.groups_))
        if ((self.n_options_ < 2) | (self.n_options_ > width)).any():
            raise _checks.fail("n_options_", f"in [2, {width}]", self.n_options_.tolist())


def _logits(scores: ArrayLike) -> tuple[Vector, NDArray[np.int64]]:
    """Checked scores and the number of options of each row."""
    logits = _checks.score_matrix("scores", scores)
    return logits, np.isfinite(logits).sum(axis=1)
