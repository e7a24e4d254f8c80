"""A logistic regression on the curves of S signals, one for every subset of them.

A subset is a number whose bit s is set if signal s belongs to it. Nothing here checks arguments,
chooses a penalty or knows names.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Self

import numpy as np
from numpy.typing import NDArray

from thermometer import _checks
from thermometer.baselines.platt import soft_targets
from thermometer.ensemble.normal_scores import N_GRID, Matrix, NormalScores, Vector
from thermometer.ensemble.penalised_logistic import fit_logistic

_LEAST_ROWS = 20
_SILENCE_PENALTY = 1.0

Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class SubsetStacks:
    """The stacks of all subsets of S signals.

    Args:
        scale: Of the signals.
        coefficients: (2**S, 1 + S * n_columns + S * (S - 1) / 2 + S) float64, by subset: intercept,
            the columns of each signal's curve, the distance of the normal scores of each pair, and
            for each signal that the model was asked for it in vain. 0 for what a subset does not
            use.
        used: (2**S,) int64: the subset whose stack is used. One that was seen in fewer than 20 rows
            is replaced by the one of its own subsets that was seen most often.
    """

    scale: NormalScores
    coefficients: Matrix
    used: NDArray[np.int64]

    @classmethod
    def path(
        cls,
        signals: Matrix,
        correct: Vector,
        n_knots: int,
        penalties: Sequence[float],
        subsets: Collection[int] | None = None,
    ) -> list[Self]:
        """Fit (N, S) signals and (N,) zeros and ones under each penalty, the largest first.

        Args:
            signals: Each has a value in some row.
            correct: Of both kinds.
            n_knots: Largest number of bends of a curve.
            penalties: In descending order.
            subsets: Those that are needed; `None` for all.
        """
        scale = NormalScores.fit(signals, n_knots)
        z = scale.transform(signals)
        present = ~np.isnan(z)
        n_signals = z.shape[1]
        rows = [present[:, bits(s, n_signals)].all(axis=1) for s in range(1 << n_signals)]
        used = _used([int(found.sum()) for found in rows], n_signals)
        wanted = set(used) if subsets is None else {used[subset] for subset in subsets}
        coefficients = np.zeros((len(penalties), len(rows), _width(n_signals, scale.n_columns)))
        for subset in wanted:
            mine = rows[subset]
            columns = _columns(scale, z[mine], np.array([subset]), ~present[mine])
            target = soft_targets(correct[mine])
            coefficients[:, subset] = _fit_path(columns, target, penalties, n_signals)
        return [cls(scale, found, np.array(used)) for found in coefficients]

    def log_odds(self, signals: Matrix, asked: Flags) -> Vector:
        """(N,) log-odds of (N, S) signals with NaN, of which some, (S,), were asked for at all."""
        z = self.scale.transform(signals)
        present = ~np.isnan(z)
        subset = self.used[present @ (1 << np.arange(z.shape[1]))]
        columns = _columns(self.scale, z, subset, ~present & asked)
        own = self.coefficients[subset]
        total: Vector = own[:, 0] + (columns * own[:, 1:]).sum(axis=1)
        return total

    def rise(self, z: Vector) -> Matrix:
        """(len(z), S): what each signal adds to the log-odds at normal scores z, next to z = 0.

        Of the stack of all signals; distances between them are not counted.
        """
        n_signals = len(self.scale.knots)
        own = self.coefficients[self.used[-1], 1 : 1 + n_signals * self.scale.n_columns]

        def curves(at: Vector) -> Matrix:
            columns = self.scale.columns(np.repeat(at[:, None], n_signals, axis=1))
            parts = (columns * own).reshape(len(at), n_signals, -1)
            total: Matrix = parts.sum(axis=2)
            return total

        return curves(z) - curves(np.zeros(1))

    @property
    def disagreement(self) -> list[float]:
        """Log-odds per unit of distance of each pair of signals, of the stack of all signals."""
        start = 1 + len(self.scale.knots) * self.scale.n_columns
        found = self.coefficients[self.used[-1], start : -len(self.scale.knots)]
        return [float(value) for value in found]

    def silence(self, signal: int) -> float:
        """Log-odds that an answer has from lacking one signal, where it has all others."""
        n_signals = len(self.scale.knots)
        subset = self.used[(1 << n_signals) - 1 - (1 << signal)]
        return float(self.coefficients[subset, signal - n_signals])

    def check(self, n_signals: int, n_knots: int) -> None:
        """Raise `ValueError` for what `fit` could not have given; for what comes from a file."""
        n_subsets = 1 << n_signals
        width = _width(n_signals, n_knots + 1)
        expected = {
            "values": (self.scale.values, (n_signals, N_GRID)),
            "scores": (self.scale.scores, (n_signals, N_GRID)),
            "knots": (self.scale.knots, (n_signals, n_knots)),
            "coefficients": (self.coefficients, (n_subsets, width)),
            "used": (self.used, (n_subsets,)),
        }
        for name, (array, shape) in expected.items():
            if array.shape != shape:
                raise _checks.fail(name, f"of shape {shape}", array.shape)
        for name in ("values", "scores"):
            if (np.diff(getattr(self.scale, name), axis=1) < 0).any():
                raise _checks.fail(name, "in ascending order", "a step down")
        if (self.used & ~np.arange(n_subsets)).any():
            raise _checks.fail("used", "subsets of each subset", self.used.tolist())


def bits(subset: int, n_signals: int) -> list[int]:
    """The signals of a subset.

    Example:
        >>> bits(0b101, 3)
        [0, 2]
    """
    return [signal for signal in range(n_signals) if subset >> signal & 1]


def _used(n_rows: list[int], n_signals: int) -> list[int]:
    """For each subset itself, or what stands for it if it has too few rows."""
    used = [0]
    for subset in range(1, len(n_rows)):
        if n_rows[subset] >= _LEAST_ROWS:
            used.append(subset)
        else:
            smaller = [used[subset - (1 << signal)] for signal in bits(subset, n_signals)]
            used.append(max(smaller, key=lambda other: n_rows[other]))
    return used


def pairs(n_signals: int) -> list[tuple[int, int]]:
    """The pairs of signals, in the order of their columns.

    Example:
        >>> pairs(3)
        [(0, 1), (0, 2), (1, 2)]
    """
    return list(combinations(range(n_signals), 2))


def _width(n_signals: int, n_columns: int) -> int:
    return 1 + n_signals * n_columns + len(pairs(n_signals)) + n_signals


def _columns(scale: NormalScores, z: Matrix, subset: NDArray[np.int64], silent: Flags) -> Matrix:
    """(N, width - 1): curves, distances and silence of rows, as their subsets see them."""
    member = (subset[:, None] >> np.arange(z.shape[1]) & 1).astype(bool)
    seen = np.where(member, z, np.nan)
    distances = [np.abs(seen[:, a] - seen[:, b]) for a, b in pairs(z.shape[1])]
    return np.column_stack([scale.columns(seen), *map(np.nan_to_num, distances), silent])


def _fit_path(
    columns: Matrix, target: Vector, penalties: Sequence[float], n_signals: int
) -> Matrix:
    """Intercept and coefficients under each penalty of the standardised columns.

    Silence is a column of few ones, whose weight may be large: it has a penalty of its own.
    """
    mean, deviation = columns.mean(axis=0), columns.std(axis=0)
    mean[-n_signals:], deviation[-n_signals:] = 0.0, 1.0
    varies = columns.max(axis=0) > columns.min(axis=0)
    standard = (columns[:, varies] - mean[varies]) / deviation[varies]
    found = np.zeros(1 + standard.shape[1])
    result = np.zeros((len(penalties), 1 + len(mean)))
    for row, penalty in zip(result, penalties, strict=True):
        strength = np.full(len(mean), penalty)
        strength[-n_signals:] = _SILENCE_PENALTY
        found = fit_logistic(standard, target, strength[varies], found)
        row[1:][varies] = found[1:] / deviation[varies]
        row[0] = found[0] - row[1:] @ mean
    return result
