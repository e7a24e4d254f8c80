"""Signals of any scale on one common scale, gaps filled, and the columns of a curve for each.

Only the order of a signal's values is used: a number becomes the normal score of its rank, so that
a probability, its logarithm and a percentage are the same signal.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

N_GRID = 64
_TAIL = 0.01
_LEAST_VARIANCE = 1e-3  # of any combination of signals, as a share of the largest


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
        tables = [_table(column[~np.isnan(column)]) for column in signals.T]
        values, scores = map(np.stack, zip(*tables, strict=True))
        return cls(values, scores, _moments(_scores(signals, values, scores)))

    def transform(self, signals: Matrix) -> Matrix:
        """Normal scores of (N, S) signals with NaN where there is none.

        What is missing is filled with its expectation given the other signals of the row, as if
        normal scores were jointly normal: z_M = C_MA C_AA^-1 z_A with the `moments` C; 0 in a row
        without any signal.
        """
        z = _scores(signals, self.values, self.scores)
        missing = np.isnan(z)
        for pattern in np.unique(missing, axis=0):
            rows = (missing == pattern).all(axis=1)
            of_others = np.linalg.solve(
                self.moments[np.ix_(~pattern, ~pattern)], self.moments[np.ix_(~pattern, pattern)]
            )
            z[np.ix_(rows, pattern)] = z[np.ix_(rows, ~pattern)] @ of_others
        return z


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


def _table(values: Vector) -> tuple[Vector, Vector]:
    """64 values, in ascending order, and their normal scores; the last fills what remains."""
    distinct, counts = np.unique(values, return_counts=True)
    rank = (np.cumsum(counts) - counts / 2) / len(values)
    if len(distinct) > N_GRID:
        wanted = np.linspace(rank[0], rank[-1], N_GRID)
        kept = np.unique(np.searchsorted(rank, wanted).clip(0, len(rank) - 1))
        distinct, rank = distinct[kept], rank[kept]
    z = ndtri(rank.clip(_TAIL, 1 - _TAIL))
    missing = N_GRID - len(distinct)
    return np.pad(distinct, (0, missing), mode="edge"), np.pad(z, (0, missing), mode="edge")


def _scores(signals: Matrix, values: Matrix, scores: Matrix) -> Matrix:
    """Normal scores of (N, S) signals, NaN where there is none."""
    known = [np.interp(*of) for of in zip(signals.T, values, scores, strict=True)]
    return np.where(np.isnan(signals), np.nan, np.column_stack(known))


def _moments(z: Matrix) -> Matrix:
    """Mean products over the rows that have both; eigenvalues are raised to above 0."""
    known, filled = (~np.isnan(z)).astype(np.float64), np.nan_to_num(z)
    products = filled.T @ filled / np.maximum(known.T @ known, 1)
    sizes, axes = np.linalg.eigh(products)
    raised = axes * np.maximum(sizes, max(_LEAST_VARIANCE * sizes[-1], 1e-9)) @ axes.T
    moments: Matrix = (raised + raised.T) / 2
    return moments
