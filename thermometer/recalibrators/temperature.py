"""Temperature scaling with labels: one number for all rows, or one for each task.

It reads option scores and never changes an answer. The search itself is `scaling.fit_temperature`.
"""

from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from thermometer import _checks
from thermometer.recalibrators.base import Kinds, Matrix, ScoreRecalibrator
from thermometer.scaling import MAX_TEMPERATURE, MIN_TEMPERATURE, fit_temperature, scale_scores

_BOUNDS = MIN_TEMPERATURE * (1 - 1e-9), MAX_TEMPERATURE * (1 + 1e-9)  # up to rounding


class TemperatureScaling(ScoreRecalibrator):
    """softmax(scores / t), with the t in [0.01, 100] of least NLL on labelled rows (Guo 2017).

    The answers stay the same, and so does the order of confidences among rows of two options.

    Args:
        per_task: Fit one temperature for each task. `tasks` are then needed to fit and to predict;
            a task that was not fitted gets the temperature of all rows together.

    Attributes:
        temperature_: Of all rows together.
        at_bound_: Whether that search ended at 0.01 or 100, see `scaling.TemperatureFit`.
        tasks_: Names of the T fitted tasks; none without `per_task`.
        task_temperature_: (T,) float64, one per fitted task.
        tasks_at_bound_: Names of the tasks whose search ended at 0.01 or 100.

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
        pooled = fit_temperature(logits, labels)
        fits = {}
        if self.per_task:
            names, answers = self._task_names(tasks, len(logits)), np.asarray(labels)
            for name in np.unique(names):
                rows = names == name
                try:
                    fits[str(name)] = fit_temperature(logits[rows], answers[rows])
                except ValueError as error:
                    raise ValueError(f"{error} of task {str(name)!r}") from error
        self.temperature_, self.at_bound_ = pooled.temperature, pooled.at_bound
        self.tasks_ = tuple(fits)
        self.task_temperature_ = np.array([fit.temperature for fit in fits.values()], np.float64)
        self.tasks_at_bound_ = tuple(name for name, fit in fits.items() if fit.at_bound)
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
        """Searches that ended at a bound."""
        check_is_fitted(self)
        notes = []
        if self.at_bound_:
            notes.append(
                f"the temperature {self.temperature_:g} is a bound of the search: either all "
                "labels are top options, or the scores speak against the labels"
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
