r"""Signals of any scale on one common scale, and the columns by which a curve is fitted to each.

Only the order of a signal's values is used: a number becomes the normal score of its rank, so that
a probability, its logarithm and a percentage are the same signal. Nothing here knows what is right
or wrong.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

N_GRID = 64
_TAIL = 0.01


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
        knots: (S, n) float64: quantiles of z, at which a curve may bend; where there are fewer than
            n different ones, the largest z of the signal fills the row.
    """

    values: Matrix
    scores: Matrix
    knots: Matrix

    @classmethod
    def fit(cls, signals: Matrix, n_knots: int) -> "NormalScores":
        """Of (N, S) signals with NaN where there is none; each signal has a value in some row."""
        tables = [_table(column[~np.isnan(column)]) for column in signals.T]
        values = np.stack([table[0] for table in tables])
        scores = np.stack([table[1] for table in tables])
        knots = np.empty((len(values), n_knots))
        shares = np.linspace(0, 1, n_knots + 2)[1:-1]
        for row, column in enumerate(signals.T):
            z = np.interp(column[~np.isnan(column)], values[row], scores[row])
            found = np.unique(np.quantile(z, shares))
            knots[row] = scores[row, -1]
            knots[row, : len(found)] = found
        return cls(values, scores, knots)

    @property
    def n_columns(self) -> int:
        """Number of columns that the curve of one signal has."""
        return int(self.knots.shape[1]) + 1

    def transform(self, signals: Matrix) -> Matrix:
        """Normal scores of (N, S) signals, NaN where there is none."""
        z = np.empty(signals.shape)
        for row, column in enumerate(signals.T):
            known = np.interp(column, self.values[row], self.scores[row])
            z[:, row] = np.where(np.isnan(column), np.nan, known)
        return z

    def columns(self, z: Matrix) -> Matrix:
        """(N, S * n_columns): of each signal z and max(z - knot, 0) for each knot; 0 for NaN.

        A weighted sum of them is any continuous curve of straight pieces between the knots.
        """
        bent = np.maximum(z[:, :, None] - self.knots, 0)
        both = np.concatenate([z[:, :, None], bent], axis=2)
        columns: Matrix = np.nan_to_num(both).reshape(len(z), -1)
        return columns


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
