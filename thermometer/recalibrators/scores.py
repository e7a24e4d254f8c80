"""Recalibrators of option scores: temperature scaling with labels, prior shifts without any.

The prior is estimated from the batch (Zhou et al. 2023), from content-free prompts (Zhao et al.
2021) or from random in-domain words (Fei et al. 2023).
"""

from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax, logsumexp
from sklearn.utils.validation import check_is_fitted

from thermometer import _checks
from thermometer.recalibrators.base import Kinds, Matrix, ScoreRecalibrator
from thermometer.scaling import MAX_TEMPERATURE, MIN_TEMPERATURE, fit_temperature, scale_scores

_BOUNDS = MIN_TEMPERATURE * (1 - 1e-9), MAX_TEMPERATURE * (1 + 1e-9)  # up to rounding
_ALL = ""  # the group of all rows together; no task has this name


class TemperatureScaling(ScoreRecalibrator):
    """softmax(scores / t), with the t in [0.001, 1000] of least NLL on labelled rows (Guo 2017).

    The answers stay the same, and so does the order of confidences among rows of two options.

    Where all labels are top options no t is best: the likelihood rises down to 0.001, which would
    claim certainty after a handful of rows. There the labels count as in Platt (1999): that of each
    of N rows as (N + 1)/(N + 2), and each other option of it as an equal share of the rest.

    Args:
        per_task: Fit a temperature for each task. `tasks` are then needed to fit and to predict;
            a task that was not fitted gets the temperature of all rows together.

    Attributes:
        temperature_: Of all rows together.
        at_bound_: Whether the likelihood still rises at 0.001 or 1000, see `TemperatureFit`.
        tasks_: Names of the T fitted tasks; none without `per_task`.
        task_temperature_: (T,) float64, one per fitted task.
        tasks_at_bound_: Names of the tasks for which it does.

    Example:
        >>> scores, labels = [[2.0, 0.0]] * 4, [0, 0, 0, 1]  # sure of 88 %, right in 75 %
        >>> scaling = TemperatureScaling().fit(scores, labels)
        >>> scaling.predict_proba([[2.0, 0.0]]).round(3).tolist()
        [[0.75, 0.25]]
    """

    fitted: ClassVar[Kinds] = {
        "temperature_": "number",
        "at_bound_": "flag",
        "tasks_": "texts",
        "task_temperature_": "vector",
        "tasks_at_bound_": "texts",
    }

    def fit(
        self, scores: ArrayLike, labels: ArrayLike | None = None, tasks: ArrayLike | None = None
    ) -> Self:
        """Fit the temperatures to (N, K) scores and (N,) labels; both are needed.

        Raises:
            ValueError: If `labels` are missing, if `tasks` are missing with `per_task`, if within
                every row (of a task) all options score the same, or if an argument is malformed.
        """
        self._check_parameters()
        if labels is None:
            raise _checks.fail("labels", "given, as this method needs them", "None")
        logits = _checks.score_matrix("scores", scores)
        logits = logits - logits.max(axis=1, keepdims=True, initial=-np.inf)  # checked once
        pooled = _fit(logits, labels)
        fits = {}
        if self.per_task:
            names, answers = self._task_names(tasks, len(logits)), np.asarray(labels)
            for name in np.unique(names):
                rows = names == name
                try:
                    fits[str(name)] = _fit(logits[rows], answers[rows])
                except ValueError as error:
                    raise ValueError(f"{error} of task {str(name)!r}") from error
        self.temperature_, self.at_bound_ = pooled
        self.tasks_ = tuple(fits)
        self.task_temperature_ = np.array([t for t, _ in fits.values()], np.float64)
        self.tasks_at_bound_ = tuple(name for name, (_, at_bound) in fits.items() if at_bound)
        return self

    def predict_proba(self, scores: ArrayLike, tasks: ArrayLike | None = None) -> Matrix:
        """(N, K) float64 softmax(scores / t); `tasks` are needed with `per_task`, else unused.

        Raises:
            ValueError: If `tasks` are missing with `per_task`, or an argument is malformed.
            sklearn.exceptions.NotFittedError: Before `fit`.
        """
        check_is_fitted(self)
        if not self.per_task:
            return scale_scores(scores, self.temperature_)
        logits = _checks.score_matrix("scores", scores)
        of_task = dict(zip(self.tasks_, self.task_temperature_, strict=True))
        names = self._task_names(tasks, len(logits))
        temperature = [of_task.get(str(name), self.temperature_) for name in names]
        return scale_scores(logits, np.array(temperature, np.float64))

    @property
    def notes_(self) -> tuple[str, ...]:
        """Labels for which no temperature is best."""
        check_is_fitted(self)
        notes = []
        if self.at_bound_:
            notes.append(
                f"the temperature {self.temperature_:g} is a bound of the search or of smoothed "
                "labels: either all labels are top options, or the scores speak against the labels"
            )
        if self.tasks_at_bound_:
            notes.append(f"at a bound of the search: {', '.join(self.tasks_at_bound_)}")
        return tuple(notes)

    def _check_fit(self) -> None:
        for temperature in (self.temperature_, *self.task_temperature_):
            _checks.number("temperature_", temperature, *_BOUNDS)
        if len(self.tasks_) != len(self.task_temperature_):
            raise _checks.fail(
                "task_temperature_", f"of length {len(self.tasks_)}", len(self.task_temperature_)
            )


def _fit(scores: Matrix, labels: ArrayLike) -> tuple[float, bool]:
    """The temperature, and whether the search for it ended at a bound."""
    found = fit_temperature(scores, labels)
    if found.at_bound and found.temperature < 1:
        row, column = np.nonzero(np.isfinite(scores))  # a row for each option, with its target
        wrong = column != _checks.array("labels", labels)[row]
        share = np.where(wrong, 1 / (np.bincount(row)[row] - 1), found.n + 1) / (found.n + 2)
        return fit_temperature(scores[row], column, share).temperature, True
    return found.temperature, found.at_bound


class BatchCalibration(ScoreRecalibrator):
    """Divide option probabilities by their mean over a batch of the task (Zhou 2023).

    q_ik = (p_ik / m_k) / sum_j (p_ij / m_j), with m the mean probabilities of the fitted rows; in
    scores softmax(s_i - log m), computed in float64 without underflow. The batch is usually the
    very questions to be answered: ``fit(scores).predict_proba(scores)``, without labels. A dozen
    rows already help. It assumes that each position is right about equally often, and takes a real
    majority for a bias of the model; a batch of one row becomes uniform.

    Options count by their position, which must mean the same in all rows (the letters of a letter
    prompt, or the same options in each question). Rows of different K do not mix: there is one mean
    for every number of options that was fitted.

    **The answer may change**, and with it the accuracy: an option that the model says whatever it
    is asked loses. Confidence is not made true by it, only the position bias is taken out; a
    temperature fitted afterwards is not part of it.

    Zhou, Wan, Proleev, Mincu, Chen, Heller and Roy, "Batch calibration: rethinking calibration for
    in-context learning and prompt engineering" (2023, arXiv 2309.17249).

    Args:
        per_task: One mean for each task. `tasks` are then needed to fit and to predict; a task that
            was not fitted, or not with so many options, gets the mean of all rows together.

    Attributes:
        groups_: Names of the tasks of the G means; "" stands for all rows together.
        n_options_: (G,) int64, the number of options of each mean.
        log_prior_: (G, K) float64, log m; 0 beyond the options.

    Example:
        >>> scores = [[2.0, 0.0], [1.0, 0.0]]  # says the first option, whatever the question
        >>> BatchCalibration().fit(scores).predict_proba(scores).argmax(axis=1).tolist()
        [0, 1]
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
        logits = _checks.score_matrix("scores", scores)
        n_options = np.isfinite(logits).sum(axis=1)
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
        logits = _checks.score_matrix("scores", scores)
        n_options = np.isfinite(logits).sum(axis=1)
        names = self._names(tasks, len(logits))
        place = {key: i for i, key in enumerate(zip(self.groups_, self.n_options_, strict=True))}
        moved = logits.copy()
        for row, (name, k) in enumerate(zip(names, n_options, strict=True)):
            found = place.get((str(name), k), place.get((_ALL, k)))
            if found is None:
                fitted = ", ".join(map(str, np.unique(self.n_options_)))
                raise _checks.fail("scores", f"rows of {fitted} options", f"{k} at row {row}")
            moved[row, :k] -= self.log_prior_[found, :k]
        return np.asarray(np.exp(log_softmax(moved, axis=1)), np.float64)

    def _names(self, tasks: ArrayLike | None, n: int) -> NDArray[np.str_]:
        return self._task_names(tasks, n) if self.per_task else np.full(n, _ALL)

    def _check_fit(self) -> None:
        n, width = self.log_prior_.shape
        if not n == len(self.groups_) == len(self.n_options_):
            raise _checks.fail("groups_", f"of length {n}", len(self.groups_))
        if ((self.n_options_ < 2) | (self.n_options_ > width)).any():
            raise _checks.fail("n_options_", f"in [2, {width}]", self.n_options_.tolist())
