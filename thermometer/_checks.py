"""Argument checks, so that every error has one wording.

The grammar: ``Expected `name` to be <what>, but got <value>``. Types are `TypeError`, values are
`ValueError`. Nothing here knows what the numbers are for.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def fail(name: str, expected: str, got: object) -> ValueError:
    """The `ValueError` for an argument whose value is wrong; the caller raises it."""
    return ValueError(f"Expected `{name}` to be {expected}, but got {got}")


def strings(name: str, values: Iterable[str]) -> tuple[str, ...]:
    """A sequence of strings as a tuple; one string where many are meant is refused."""
    if isinstance(values, str):
        raise TypeError(
            f"Expected `{name}` to be a list of strings, but got one string: {values[:60]!r}. "
            f"For a single one pass [{name}]"
        )
    items = tuple(values)
    for position, item in enumerate(items):
        if not isinstance(item, str):
            raise TypeError(
                f"Expected `{name}` to be a list of strings, "
                f"but got {type(item).__name__} at position {position}"
            )
    return items


def one_of(name: str, value: str, choices: Collection[str]) -> str:
    """`value` if it is one of `choices`, else an error that lists them."""
    if value not in choices:
        raise fail(name, f"one of {', '.join(map(repr, sorted(choices)))}", repr(value))
    return value


def integer(name: str, value: Any, minimum: int = 1) -> int:
    """`value` if it is an integer of at least `minimum`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"Expected `{name}` to be an integer, but got {value!r}")
    if value < minimum:
        raise fail(name, f"an integer of at least {minimum}", value)
    return int(value)


def number(
    name: str, value: Any, minimum: float = 0.0, maximum: float = np.inf, *, strict: bool = False
) -> float:
    """`value` if it lies in [minimum, maximum]; in (minimum, maximum] if `strict`."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise TypeError(f"Expected `{name}` to be a number, but got {value!r}")
    if not (minimum < value if strict else minimum <= value) or not value <= maximum:
        opening = "(" if strict else "["
        raise fail(name, f"a number in {opening}{minimum:g}, {maximum:g}]", value)
    return float(value)


def vector(name: str, values: ArrayLike, size: int | None = None) -> NDArray[np.float64]:
    """A finite float64 vector of shape (N,), optionally of a given size."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise fail(name, "a vector of shape (N,)", f"shape {array.shape}")
    if size is not None and len(array) != size:
        raise fail(name, f"a vector of length {size}", f"length {len(array)}")
    if not np.isfinite(array).all():
        row = int(np.flatnonzero(~np.isfinite(array))[0])
        raise fail(name, "finite", f"{array[row]} at row {row}")
    return array


def score_matrix(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """Option scores of shape (N, K) as float64.

    Rows with fewer than K options are padded with ``-inf`` on the right; every row needs at least
    two finite scores, and NaN and ``+inf`` are refused with the row that holds them.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2:
        raise fail(name, "a matrix of shape (N, K)", f"shape {array.shape}")
    finite = np.isfinite(array)
    padding = np.isneginf(array)
    bad = ~(finite | padding)
    if bad.any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        raise fail(name, "finite", f"{array[row, column]} at row {row}, option {column}")
    if (padding[:, :-1] & finite[:, 1:]).any():
        row = int(np.flatnonzero((padding[:, :-1] & finite[:, 1:]).any(axis=1))[0])
        raise fail(name, "padded with -inf on the right only", f"-inf inside row {row}")
    if len(array) and (few := finite.sum(axis=1) < 2).any():
        row = int(np.flatnonzero(few)[0])
        raise fail(name, "scores of at least two options", f"{finite[row].sum()} at row {row}")
    return array


def label_vector(name: str, values: ArrayLike, n_options: NDArray[np.int64]) -> NDArray[np.int64]:
    """Labels of shape (N,) as int64, each in [0, K of its row); -1 (no label) is refused."""
    array = np.asarray(values)
    if array.ndim != 1 or len(array) != len(n_options):
        raise fail(name, f"a vector of length {len(n_options)}", f"shape {array.shape}")
    if not np.issubdtype(array.dtype, np.integer):
        raise TypeError(f"Expected `{name}` to hold integers, but got {array.dtype}")
    bad = (array < 0) | (array >= n_options)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise fail(name, f"in [0, {n_options[row]})", f"{array[row]} at row {row}")
    return array.astype(np.int64)


def unit_interval(name: str, values: ArrayLike, size: int | None = None) -> NDArray[np.float64]:
    """A float64 vector of at least one number in [0, 1]."""
    array = np.asarray(values, dtype=np.float64)
    if array.shape == (0,):
        raise fail(name, "a vector of at least one number", "an empty one")
    if array.ndim != 1 or not (array.min() >= 0 and array.max() <= 1):  # NaN fails both
        array = vector(name, array)
        row = int(np.flatnonzero((array < 0) | (array > 1))[0])
        raise fail(name, "in [0, 1]", f"{array[row]} at row {row}")
    if size is not None and len(array) != size:
        raise fail(name, f"a vector of length {size}", f"length {len(array)}")
    return array


def binary(name: str, values: ArrayLike, size: int) -> NDArray[np.float64]:
    """A vector of zeros and ones (or booleans) of a given size, as float64."""
    array = unit_interval(name, values, size)
    if (between := (array > 0) & (array < 1)).any():
        row = int(np.flatnonzero(between)[0])
        raise fail(name, "0 or 1 in every row", f"{array[row]} at row {row}")
    return array


def prob_matrix(name: str, values: ArrayLike, tolerance: float = 1e-4) -> NDArray[np.float64]:
    """Probabilities of shape (N, K), N >= 1, as float64; every row sums to one."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or not array.size:
        raise fail(name, "a matrix of shape (N, K) with at least one row", f"shape {array.shape}")
    bad = ~((array >= 0) & (array <= 1))
    if bad.any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        raise fail(name, "in [0, 1]", f"{array[row, column]} at row {row}, option {column}")
    total = array.sum(axis=1)
    if (bad := np.abs(total - 1) > tolerance).any():
        row = int(np.flatnonzero(bad)[0])
        raise fail(name, "rows that sum to one", f"{total[row]:.6g} at row {row}")
    return array


def outcomes(
    confidence: ArrayLike, correct: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Confidences in [0, 1] and zeros and ones, as float64 vectors of one length N >= 1."""
    checked = unit_interval("confidence", confidence)
    return checked, binary("correct", correct, len(checked))


def outcome_pieces(
    confidence: ArrayLike, correct: ArrayLike, size: int = 1 << 15
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """`outcomes` in pieces that stay in the processor's cache, without a float64 copy of all."""
    confidence, correct = np.asarray(confidence), np.asarray(correct)
    if confidence.ndim != 1 or confidence.shape != correct.shape or not len(confidence):
        outcomes(confidence, correct)
    for start in range(0, len(confidence), size):
        rows = slice(start, start + size)
        try:
            piece = outcomes(confidence[rows], correct[rows])
        except ValueError:
            outcomes(confidence, correct)  # the same error with the row number among all rows
            raise
        yield piece


def probs_and_labels(
    probs: ArrayLike, labels: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Probabilities of shape (N, K) and labels of shape (N,), each in [0, K)."""
    matrix = prob_matrix("probs", probs)
    return matrix, label_vector("labels", labels, np.full(len(matrix), matrix.shape[1]))
