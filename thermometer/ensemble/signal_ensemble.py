"""One confidence from several signals: a small logistic stack for every subset of them.

It reads numbers and zeros and ones. Nothing here knows where a signal comes from.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.exceptions import NotFittedError

from thermometer import _checks
from thermometer.baselines import storage
from thermometer.baselines.cross_fitting import deal_folds
from thermometer.baselines.protocol import inside
from thermometer.ensemble.normal_scores import Matrix, NormalScores, Vector
from thermometer.ensemble.subset_stacks import SubsetStacks

MOST_SIGNALS = 8
PENALTIES = (1000.0, 300.0, 100.0, 30.0, 10.0, 3.0, 1.0, 0.3)

_NAME = "SignalEnsemble"
_KINDS: storage.Kinds = {
    "names": "texts",
    "penalty": "number",
    "values": "matrix",
    "scores": "matrix",
    "knots": "matrix",
    "coefficients": "matrix",
    "used": "counts",
}
_DECILE = 1.2815515655446004  # the normal score of a rank of 0.9

Signals = Mapping[str, ArrayLike]
"""By name, (N,) numbers; NaN where an answer has none."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What an ensemble makes of its signals, in log-odds of being right.

    Args:
        signals: By name, how much more the signal adds at its upper decile than at its lower one.
        disagreement: By the names of a pair, what one unit of distance of their normal scores adds.
        silence: By name, what an answer has from lacking this signal, where it has all others.
    """

    signals: dict[str, float]
    disagreement: dict[tuple[str, str], float]
    silence: dict[str, float]


class SignalEnsemble:
    r"""The probability that an answer is right, from any subset of the signals that were fitted.

    With z_s the normal score of signal s (see `NormalScores`), A the signals that a row has, and
    M those that it was asked for and did not get,

        P(right) = sigmoid(a_A + sum_{s in A} f_As(z_s) + sum_{s < t in A} d_Ast |z_s - z_t|
                           + sum_{s in M} m_As),

    f a continuous curve of straight pieces and d the weight of a disagreement. A logistic stack
    (Wolpert 1992, "Stacked generalization") of its own is fitted for every subset A, on all rows
    that have at least these signals. So a missing signal is not guessed: the others take its place,
    with the weights that they have without it (the reduced models of Saar-Tsechansky and Provost
    2007, "Handling missing values when applying classification models"). Weights have a ridge
    penalty, on standardised columns.

    **Missing values.** NaN in a row is an answer without the signal, such as a reply in which no
    number could be read; if that goes with wrong answers, m_As says so. A signal that is left out
    of the mapping was not asked for, and says nothing.

    Only the order of a signal's values counts, so that any scale will do. Larger should mean surer:
    the curves find their direction themselves, disagreement does not.

    Args:
        n_knots: Largest number of bends of a curve.
        penalty: Of the weights; `None` chooses one of eight from 0.3 to 1000 by the mean loss on
            held-out tasks, or on held-out rows where `fit` is given no tasks.
        n_folds: Of that choice; fewer if there are fewer tasks.
        seed: Of the folds. Equal seeds give equal results.

    Attributes:
        names_: The S signals, in the order in which they were given.
        penalty_: As chosen.
        stacks_: What was fitted.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> truth = rng.random(4000)
        >>> correct = rng.random(4000) < truth
        >>> signals = {name: truth + rng.normal(0, 0.3, 4000) for name in ("stated", "agreement")}
        >>> ensemble = SignalEnsemble().fit(signals, correct)
        >>> ensemble.predict({"stated": [1.0, 1.0], "agreement": [0.9, np.nan]}).round(1).tolist()
        [0.8, 0.8]
        >>> ensemble.predict({"agreement": [0.1]}).round(1).tolist()
        [0.3]
    """

    def __init__(
        self,
        n_knots: int = 12,
        penalty: float | None = None,
        n_folds: int = 5,
        seed: int = 0,
    ) -> None:
        self.n_knots = _checks.integer("n_knots", n_knots)
        self.penalty = None if penalty is None else _checks.number("penalty", penalty, strict=True)
        self.n_folds = _checks.integer("n_folds", n_folds, minimum=2)
        self.seed = _checks.integer("seed", seed, minimum=0)

    def __repr__(self) -> str:
        options = f"n_knots={self.n_knots}, penalty={self.penalty}"
        return f"SignalEnsemble({options}, n_folds={self.n_folds}, seed={self.seed})"

    def fit(self, signals: Signals, correct: ArrayLike, tasks: ArrayLike | None = None) -> Self:
        """Learn from labelled answers.

        Args:
            signals: By name, at most eight, each (N,) numbers with NaN where an answer has none.
            correct: (N,) zeros and ones, both kinds.
            tasks: (N,) task names: the penalty is then chosen by how well whole tasks are predicted
                that were left out.

        Raises:
            ValueError: For no signal or more than eight, lengths that differ, infinite values, a
                signal that no answer has, answers that are all right or all wrong, or one task.
        """
        names = _names(signals)
        table = _table(signals, names)
        for name, column in zip(names, table.T, strict=True):
            if np.isnan(column).all():
                raise _checks.fail("signals", "numbers in some row", f"NaN in all of {name!r}")
        outcome = _checks.binary("correct", correct, len(table))
        if outcome.min() == outcome.max():
            kind = "1" if outcome[0] else "0"
            raise _checks.fail(
                "correct", "right in some rows and wrong in others", f"{kind} in all"
            )
        penalty = self.penalty
        if penalty is None:
            penalty = self._choose(table, outcome, self._folds(outcome, tasks))
        self.names_, self.penalty_ = names, penalty
        (self.stacks_,) = SubsetStacks.path(table, outcome, self.n_knots, [penalty])
        return self

    def predict(self, signals: Signals) -> Vector:
        """(N,) float64 probabilities that the answers are right, in (0, 1).

        Args:
            signals: By name, any of those that were fitted, each (N,) with NaN where an answer has
                none.

        Raises:
            ValueError: For no signal, one that was not fitted, lengths that differ or infinity.
            sklearn.exceptions.NotFittedError: Before `fit`.
        """
        stacks = self._fitted()
        names = _names(signals)
        for name in names:
            _checks.one_of("signals", name, self.names_)
        asked = np.array([name in names for name in self.names_])
        return inside(np.asarray(expit(stacks.log_odds(_table(signals, self.names_), asked))))

    @property
    def weights(self) -> Weights:
        """What moves the log-odds of an answer that has all signals, and by how much."""
        stacks = self._fitted()
        low, high = stacks.rise(np.array([-_DECILE, _DECILE]))
        named = combinations(self.names_, 2)
        return Weights(
            dict(zip(self.names_, map(float, high - low), strict=True)),
            dict(zip(named, stacks.disagreement, strict=True)),
            {name: stacks.silence(signal) for signal, name in enumerate(self.names_)},
        )

    def curve(self, name: str) -> tuple[Vector, Vector]:
        """Values of a signal, ascending, and what each adds to the log-odds next to the median.

        Where all signals are at hand; disagreement comes on top.

        Raises:
            ValueError: For a signal that was not fitted.
            sklearn.exceptions.NotFittedError: Before `fit`.
        """
        stacks = self._fitted()
        signal = self.names_.index(_checks.one_of("name", name, self.names_))
        values, first = np.unique(stacks.scale.values[signal], return_index=True)
        return values, stacks.rise(stacks.scale.scores[signal, first])[:, signal]

    def save_pretrained(self, folder: str | Path) -> None:
        """Write parameters and fit to a folder, as JSON and safetensors.

        Raises:
            FileExistsError: If the folder exists and holds anything else.
            sklearn.exceptions.NotFittedError: Before `fit`.
        """
        stacks = self._fitted()
        fit = {"names": self.names_, "penalty": self.penalty_}
        fit |= {name: getattr(stacks.scale, name) for name in ("values", "scores", "knots")}
        fit |= {"coefficients": stacks.coefficients, "used": stacks.used}
        storage.write(folder, storage.Content(_NAME, self._parameters(), fit), _KINDS)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Load what `save_pretrained` wrote; nothing in it is executed.

        Raises:
            FileNotFoundError: If a file is missing.
            ValueError: For another class, a missing, unknown or mistyped key, a newer format,
                values that no fit gives, or a damaged file. The message names the file.
        """
        file = Path(folder) / storage.CONFIG
        if (name := storage.read_name(folder)) != _NAME:
            raise ValueError(f"{file}: expected class to be {_NAME}, got {name!r}")
        content = storage.read(folder, set(cls()._parameters()), _KINDS)
        fit = dict(content.fitted)
        try:
            ensemble = cls(**content.parameters)
            ensemble.names_ = _checked_names(fit["names"])
            ensemble.penalty_ = _checks.number("penalty", fit["penalty"], strict=True)
            scale = NormalScores(fit["values"], fit["scores"], fit["knots"])
            ensemble.stacks_ = SubsetStacks(scale, fit["coefficients"], fit["used"])
            ensemble.stacks_.check(len(ensemble.names_), ensemble.n_knots)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{file}: {error}") from error
        return ensemble

    def _parameters(self) -> dict[str, Any]:
        names = ("n_knots", "penalty", "n_folds", "seed")
        return {name: getattr(self, name) for name in names}

    def _fitted(self) -> SubsetStacks:
        if not hasattr(self, "stacks_"):
            raise NotFittedError("Call `fit` of this SignalEnsemble, or load one, first")
        return self.stacks_

    def _folds(self, correct: Vector, tasks: ArrayLike | None) -> NDArray[np.int64]:
        """The fold of every row: tasks are kept whole."""
        if tasks is None:
            return deal_folds(correct, min(self.n_folds, len(correct)), self.seed)
        n_tasks = len(np.unique(np.asarray(tasks)))
        if n_tasks < 2:
            raise _checks.fail("tasks", "at least two different names, or None", n_tasks)
        return deal_folds(correct, min(self.n_folds, n_tasks), self.seed, tasks)

    def _choose(self, table: Matrix, correct: Vector, folds: NDArray[np.int64]) -> float:
        """The penalty under which held-out rows are most probable; of equals the largest."""
        present = ~np.isnan(table)
        subsets = {int(s) for s in np.unique(present @ (1 << np.arange(table.shape[1])))}
        asked = np.ones(table.shape[1], dtype=bool)
        losses = np.zeros(len(PENALTIES))
        for fold in np.unique(folds):
            held, rest = folds == fold, folds != fold
            if np.isnan(table[rest]).all(axis=0).any():
                continue  # a signal that only the held-out tasks have
            path = SubsetStacks.path(table[rest], correct[rest], self.n_knots, PENALTIES, subsets)
            for i, stacks in enumerate(path):
                line = stacks.log_odds(table[held], asked)
                losses[i] += (np.logaddexp(0, line) - correct[held] * line).sum()
        return PENALTIES[int(losses.argmin())]


def _names(signals: Signals) -> tuple[str, ...]:
    if not hasattr(signals, "items"):
        raise TypeError(f"Expected `signals` to map names to numbers, but got {type(signals)}")
    return _checked_names(tuple(signals))


def _checked_names(given: Iterable[str]) -> tuple[str, ...]:
    names = _checks.strings("signals", given)
    if not 1 <= len(set(names)) == len(names) <= MOST_SIGNALS:
        raise _checks.fail("signals", f"1 to {MOST_SIGNALS} of different names", list(names))
    return names


def _table(signals: Signals, names: tuple[str, ...]) -> Matrix:
    """Checked signals as (N, S), NaN in columns of names that are not among them."""
    columns = {}
    for name, values in signals.items():
        column = _checks.array(name, values, np.float64)
        if column.ndim != 1 or not len(column):
            raise _checks.fail(name, "a vector of shape (N,), N > 0", f"shape {column.shape}")
        if np.isinf(column).any():
            row = int(np.flatnonzero(np.isinf(column))[0])
            raise _checks.fail(name, "finite, or NaN for no signal", f"{column[row]} at row {row}")
        columns[name] = column
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise _checks.fail("signals", "all of one length", lengths)
    absent = np.full(max(lengths.values()), np.nan)
    return np.column_stack([columns.get(name, absent) for name in names])
