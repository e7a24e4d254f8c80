"""One confidence from several signals, some of which may be missing."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit, ndtri
from sklearn.linear_model import LogisticRegression
from sklearn.utils.validation import check_is_fitted

from thermometer import _checks
from thermometer.recalibrators import base
from thermometer.recalibrators.base import Recalibrator, inside, restored
from thermometer.recalibrators.recommend import deal_folds

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Mask = NDArray[np.bool_]
Signals = Mapping[str, ArrayLike]
"""By name, (N,) numbers; NaN where an answer has none."""

N_GRID = 64
PENALTIES = (1000.0, 300.0, 100.0, 30.0, 10.0, 3.0, 1.0, 0.3)

_TAIL = 0.01
_LEAST_VARIANCE = 1e-3  # of any combination of signals, as a share of the largest
_SILENCE_PENALTY = 1.0  # silence is rare and may weigh much
_DECILE = 1.2815515655446004  # the normal score of a rank of 0.9


@dataclass(frozen=True, eq=False)
class NormalScores:
    r"""Maps the values of S signals to normal scores, z = Phi^-1(rank).

    The rank of a value is the share of fitted values below it plus half of the share equal to it
    (a mid-rank, as in Bross 1958, "How to use ridit analysis"), clipped to [0.01, 0.99]; Phi is the
    normal distribution function, so that z lies within 2.33 of 0. It is kept at 64 values of each
    signal, or at all if there are fewer. Between them z is interpolated, beyond them constant.

    Args:
        values: (S, 64) float64, in each row not decreasing: where z is known.
        scores: (S, 64) float64, likewise: z at `values`.
        moments: (S, S) float64: mean products of the normal scores of two signals over the rows
            that have both, made positive definite.
    """

    values: Matrix
    scores: Matrix
    moments: Matrix

    @classmethod
    def fit(cls, signals: Matrix) -> "NormalScores":
        """Of (N, S) signals with NaN where there is none; each signal has a value in some row."""
        tables = [_normal_table(column[~np.isnan(column)]) for column in signals.T]
        values, scores = map(np.stack, zip(*tables, strict=True))
        return cls(values, scores, _moments(_scores(signals, values, scores)))

    def transform(self, signals: Matrix) -> Matrix:
        """Normal scores of (N, S) signals with NaN where there is none.

        What is missing is filled with its expectation given the other signals of the row, as if
        normal scores were jointly normal: z_M = C_MA C_AA^-1 z_A with the `moments` C, kept within
        the scores of the signal; 0 in a row without any signal.
        """
        z = _scores(signals, self.values, self.scores)
        missing = np.isnan(z)
        for pattern in np.unique(missing, axis=0):
            rows = (missing == pattern).all(axis=1)
            of_others = np.linalg.solve(
                self.moments[np.ix_(~pattern, ~pattern)], self.moments[np.ix_(~pattern, pattern)]
            )
            z[np.ix_(rows, pattern)] = z[np.ix_(rows, ~pattern)] @ of_others
        return z.clip(self.scores[:, 0], self.scores[:, -1])


def bent(z: Matrix, n_knots: int) -> Matrix:
    """(N, S * (1 + n_knots)): of each signal z and max(z - knot, 0) for each knot.

    A weighted sum of them is any continuous curve of straight pieces between the knots, which are
    the quantiles of a normal variable.

    Example:
        >>> bent(np.array([[-1.0], [1.0]]), n_knots=1).tolist()
        [[-1.0, 0.0], [1.0, 1.0]]
    """
    knots = ndtri(np.linspace(0, 1, n_knots + 2)[1:-1])
    columns = [z[:, :, None], np.maximum(z[:, :, None] - knots, 0)]
    return np.concatenate(columns, axis=2).reshape(len(z), -1)


def _normal_table(values: Vector) -> tuple[Vector, Vector]:
    """64 values, in ascending order, and their normal scores; the last fills what remains."""
    distinct, counts = np.unique(values, return_counts=True)
    rank = (np.cumsum(counts) - counts / 2) / len(values)
    if len(distinct) > N_GRID:
        wanted = np.linspace(rank[0], rank[-1], N_GRID)
        at = np.unique(np.searchsorted(rank, wanted).clip(0, len(rank) - 1))
        distinct, rank = distinct[at], rank[at]
    z = ndtri(rank.clip(_TAIL, 1 - _TAIL))
    missing = N_GRID - len(distinct)
    return np.pad(distinct, (0, missing), mode="edge"), np.pad(z, (0, missing), mode="edge")


def _scores(signals: Matrix, values: Matrix, scores: Matrix) -> Matrix:
    """Normal scores of (N, S) signals, NaN where there is none."""
    known = [np.interp(*of) for of in zip(signals.T, values, scores, strict=True)]
    return np.where(np.isnan(signals), np.nan, np.column_stack(known))


def _moments(z: Matrix) -> Matrix:
    """Mean products over the rows that have both, with eigenvalues raised above 0."""
    known, filled = (~np.isnan(z)).astype(np.float64), np.nan_to_num(z)
    products = filled.T @ filled / np.maximum(known.T @ known, 1)
    sizes, axes = np.linalg.eigh(products)
    raised = axes * np.maximum(sizes, max(_LEAST_VARIANCE * sizes[-1], 1e-9)) @ axes.T
    moments: Matrix = (raised + raised.T) / 2
    return moments


@dataclass(frozen=True, slots=True)
class Weights:
    """What an ensemble makes of its signals, in log-odds of being right.

    Args:
        signals: By name, how much more the signal adds at its upper decile than at its lower one.
        disagreement: By the names of a pair, what one unit of distance of their normal scores adds.
        silence: By name, what an answer has from lacking this signal.
    """

    signals: dict[str, float]
    disagreement: dict[tuple[str, str], float]
    silence: dict[str, float]


class SignalEnsemble(Recalibrator):
    r"""The probability that an answer is right, from any subset of the signals that were fitted.

    With z_s the normal score of signal s (see `NormalScores`), and M the signals that a row was
    asked for and did not get,

        P(right) = sigmoid(a + sum_s f_s(z_s) + sum_{s < t} d_st |z_s - z_t| + sum_{s in M} m_s),

    f a continuous curve of straight pieces and d the weight of a disagreement: one logistic
    regression with a ridge penalty on standardised columns, stacking as in Wolpert (1992, "Stacked
    generalization").

    **Missing values.** A missing z_s is filled with its expectation given the signals that the row
    has, so that these take its place. NaN in a row is an answer without the signal, such as a reply
    in which no number could be read; if that goes with wrong answers, m_s says so. A signal that is
    left out of the mapping was not asked for, and says nothing. If a signal is never at hand, fit
    without it: on recorded answers that lowers the NLL by up to 0.01 nats.

    **Nothing is extrapolated.** A value counts as the nearest that was fitted, as does a distance
    of two signals; no answer is surer or less sure than the N fitted, or within 1/(2N) of certain.

    Only the order of a signal's values counts, so that any scale will do. Larger should mean surer:
    the curves find their direction themselves, disagreement does not.

    Args:
        n_knots: Number of bends of a curve.
        penalty: Of the weights; `None` chooses one of eight from 0.3 to 1000 by the mean loss on
            held-out tasks, or on held-out rows where `fit` is given no tasks.
        n_folds: Of that choice; fewer if there are fewer tasks.
        seed: Of the folds. Equal seeds give equal results.

    Attributes:
        names_: The S signals, in the order in which they were given.
        penalty_: As chosen.
        values_, scores_, moments_: Those of the `NormalScores` of the signals.
        distances_: (2, S (S - 1) / 2) float64, least and greatest |z_s - z_t| of each pair.
        log_odds_: (2,) float64, the least and the greatest that are predicted.
        coefficients_: (1 + P,) float64: a, then weights of the columns of each signal's curve, of
            the pairs and of silence.

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

    fitted: ClassVar[base.Kinds] = {
        "names_": "texts",
        "penalty_": "number",
        "values_": "matrix",
        "scores_": "matrix",
        "moments_": "matrix",
        "distances_": "matrix",
        "log_odds_": "vector",
        "coefficients_": "vector",
    }

    def __init__(
        self, n_knots: int = 12, penalty: float | None = None, n_folds: int = 5, seed: int = 0
    ) -> None:
        self.n_knots = _checks.integer("n_knots", n_knots)
        self.penalty = None if penalty is None else _checks.number("penalty", penalty, strict=True)
        self.n_folds = _checks.integer("n_folds", n_folds, minimum=2)
        self.seed = _checks.integer("seed", seed, minimum=0)

    def fit(self, signals: Signals, correct: ArrayLike, tasks: ArrayLike | None = None) -> Self:
        """Learn from labelled answers.

        Args:
            signals: By name, each (N,) numbers with NaN where an answer has none.
            correct: (N,) zeros and ones, both kinds.
            tasks: (N,) task names: the penalty is then chosen by how well whole tasks are predicted
                that were left out.

        Raises:
            ValueError: For no signal, lengths that differ, infinite values, a signal that no answer
                has, answers that are all right or all wrong, or one task.
        """
        names = _names(signals)
        table = _table(signals, names)
        for name, column in zip(names, table.T, strict=True):
            if np.isnan(column).all():
                raise _checks.fail("signals", "numbers in some row", f"NaN in all of {name!r}")
        outcome = _checks.binary("correct", correct, len(table))
        if outcome.min() == outcome.max():
            got = f"{outcome[0]:.0f} in all"
            raise _checks.fail("correct", "right in some rows and wrong in others", got)
        scale = NormalScores.fit(table)
        z, silent = scale.transform(table), np.isnan(table)
        distances = _distances(z)
        columns = np.column_stack([bent(z, self.n_knots), distances])
        penalty = self.penalty
        if penalty is None:
            penalty = _choose(columns, silent, outcome, self._folds(outcome, tasks))
        self.names_, self.penalty_ = names, penalty
        self.values_, self.scores_, self.moments_ = scale.values, scale.scores, scale.moments
        self.distances_ = np.stack([distances.min(axis=0), distances.max(axis=0)])
        self.coefficients_ = _fit(columns, silent, outcome, penalty)
        line, share = _log_odds(self.coefficients_, columns, silent), 1 / (2 * len(table))
        self.log_odds_ = np.array([line.min(), line.max()]).clip(*logit([share, 1 - share]))
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
        check_is_fitted(self)
        names = _names(signals)
        for name in names:
            _checks.one_of("signals", name, self.names_)
        table = _table(signals, self.names_)
        silent = np.isnan(table) & [name in names for name in self.names_]
        z = NormalScores(self.values_, self.scores_, self.moments_).transform(table)
        columns = np.column_stack([bent(z, self.n_knots), _distances(z).clip(*self.distances_)])
        line = _log_odds(self.coefficients_, columns, silent)
        return inside(np.asarray(expit(line.clip(*self.log_odds_))))

    @property
    def weights(self) -> Weights:
        """What moves the log-odds of an answer, and by how much."""
        low, high = self._rise(np.array([-_DECILE, _DECILE]))
        n = len(self.names_)
        pairs = self.coefficients_[1 + n * (self.n_knots + 1) : -n].tolist()
        return Weights(
            dict(zip(self.names_, (high - low).tolist(), strict=True)),
            dict(zip(combinations(self.names_, 2), pairs, strict=True)),
            dict(zip(self.names_, self.coefficients_[-n:].tolist(), strict=True)),
        )

    def curve(self, name: str) -> tuple[Vector, Vector]:
        """Values of a signal, ascending, and what each adds to the log-odds next to the median.

        Disagreement comes on top.

        Raises:
            ValueError: For a signal that was not fitted.
            sklearn.exceptions.NotFittedError: Before `fit`.
        """
        check_is_fitted(self)
        signal = self.names_.index(_checks.one_of("name", name, self.names_))
        values, first = np.unique(self.values_[signal], return_index=True)
        return values, self._rise(self.scores_[signal, first])[:, signal]

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Load what `save_pretrained` wrote; nothing in it is executed.

        Raises:
            FileNotFoundError: If a file is missing.
            ValueError: For another class, a missing, unknown or mistyped key, a newer format,
                values that no fit gives, or a damaged file. The message names the file.
        """
        if (name := base.read_name(folder)) != cls.__name__:
            file = Path(folder) / base.CONFIG
            raise ValueError(f"{file}: expected class to be {cls.__name__}, got {name!r}")
        return restored(folder, cls)

    def _check_fit(self) -> None:
        _checked_names(self.names_)
        _checks.number("penalty_", self.penalty_, strict=True)
        n = len(self.names_)
        n_pairs = n * (n - 1) // 2
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(("values_", "scores_"), (n, N_GRID))
        shapes |= {"moments_": (n, n), "distances_": (2, n_pairs), "log_odds_": (2,)}
        shapes["coefficients_"] = (1 + n * (self.n_knots + 1) + n_pairs + n,)
        for name, shape in shapes.items():
            if (found := getattr(self, name).shape) != shape:
                raise _checks.fail(name, f"of shape {shape}", found)
        for name, axis in {"values_": 1, "scores_": 1, "distances_": 0, "log_odds_": 0}.items():
            if (np.diff(getattr(self, name), axis=axis) < 0).any():
                raise _checks.fail(name, "in ascending order", "a step down")
        moments = self.moments_
        if (moments != moments.T).any() or np.linalg.eigvalsh(moments)[0] <= 0:
            raise _checks.fail("moments_", "positive definite", moments.tolist())

    def _rise(self, z: Vector) -> Matrix:
        """(len(z), S): what each signal adds to the log-odds at normal scores z, next to z = 0."""
        check_is_fitted(self)
        n = len(self.names_)
        own = self.coefficients_[1 : 1 + n * (self.n_knots + 1)]
        columns = bent(np.repeat(np.append(z, 0.0)[:, None], n, axis=1), self.n_knots)
        curves = (columns * own).reshape(len(z) + 1, n, -1).sum(axis=2)
        rise: Matrix = curves[:-1] - curves[-1]
        return rise

    def _folds(self, correct: Vector, tasks: ArrayLike | None) -> NDArray[np.int64]:
        """The fold of every row: tasks are kept whole."""
        if tasks is None:
            return deal_folds(correct, min(self.n_folds, len(correct)), self.seed)
        n_tasks = len(np.unique(np.asarray(tasks)))
        if n_tasks < 2:
            raise _checks.fail("tasks", "at least two different names, or None", n_tasks)
        return deal_folds(correct, min(self.n_folds, n_tasks), self.seed, tasks)


def _distances(z: Matrix) -> Matrix:
    """(N, S (S - 1) / 2): the distance of each pair of signals."""
    one, other = np.triu_indices(z.shape[1], 1)
    return np.asarray(np.abs(z[:, one] - z[:, other]))


def _fit(columns: Matrix, silent: Mask, correct: Vector, penalty: float) -> Vector:
    """Intercept and weights of the columns and of silence; the penalty is on standardised ones."""
    n_silent, deviation = silent.shape[1], columns.std(axis=0)
    mean = np.append(columns.mean(axis=0), np.zeros(n_silent))
    deviation = np.where(deviation > 1e-9, deviation, 1.0)
    deviation = np.append(deviation, np.full(n_silent, np.sqrt(_SILENCE_PENALTY / penalty)))
    design = (np.column_stack([columns, silent]) - mean) / deviation
    model = LogisticRegression(C=1 / penalty, solver="newton-cholesky", tol=1e-8)
    model.fit(design, correct)
    weights = model.coef_[0] / deviation
    return np.append(model.intercept_[0] - weights @ mean, weights)


def _log_odds(coefficients: Vector, columns: Matrix, silent: Mask) -> Vector:
    line: Vector = coefficients[0] + np.column_stack([columns, silent]) @ coefficients[1:]
    return line


def _choose(columns: Matrix, silent: Mask, correct: Vector, folds: NDArray[np.int64]) -> float:
    """The penalty under which the validation rows are most probable; of equals the largest."""
    losses = np.zeros(len(PENALTIES))
    for fold in np.unique(folds):
        rows, training = folds == fold, folds != fold
        if correct[training].min() == correct[training].max():
            continue
        for i, penalty in enumerate(PENALTIES):
            found = _fit(columns[training], silent[training], correct[training], penalty)
            line = _log_odds(found, columns[rows], silent[rows])
            losses[i] += (np.logaddexp(0, line) - correct[rows] * line).sum()
    return PENALTIES[int(losses.argmin())]


def _names(signals: Signals) -> tuple[str, ...]:
    if not hasattr(signals, "items"):
        raise TypeError(f"Expected `signals` to map names to numbers, but got {type(signals)}")
    return _checked_names(tuple(signals))


def _checked_names(given: Iterable[str]) -> tuple[str, ...]:
    names = _checks.strings("signals", given)
    if not names or len(set(names)) < len(names):
        raise _checks.fail("signals", "one or more of different names", list(names))
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
