"""Argument checks, so that every error has one wording.

The grammar: ``Expected `name` to be <what>, but got <value>``. Types are `TypeError`, values are
`ValueError`.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray


def fail(name: str, expected: str, got: object) -> ValueError:
    """The `ValueError` for a wrong argument, to be raised; shows up to 500 characters of it."""
    text = str(got)
    found = text if len(text) <= 500 else f"{text[:500]} … ({len(text):,} characters)"
    return ValueError(shown(f"Expected `{name}` to be {expected}, but got {found}"))


def shown(text: str) -> str:
    """A text for a terminal: what that would obey, or turn round, is written out.

    Example:
        >>> len(shown(chr(27) + "[2J")), shown("a | b")
        (7, 'a | b')
    """
    if text.isprintable():
        return text
    plain = (c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)
    return "".join(plain)


def markdown(text: str) -> str:
    """A text that Markdown shows as it is, on one line: no markup, no HTML, no pictures.

    Example:
        >>> markdown("<b>")
        '&lt;b>'
    """
    for character in "\\`*_[]|<":
        text = text.replace(character, {"<": "&lt;"}.get(character, "\\" + character))
    return shown(" ".join(text.splitlines()))


def array(name: str, values: Any, dtype: DTypeLike | None = None) -> NDArray[Any]:
    """A numpy array of lists, numpy, torch, pandas, pyarrow, or a column of rows.

    A tensor may require a gradient, be on a device, or be of a type that numpy lacks (bfloat16).
    Masked values become NaN, so that they are refused and not used.
    """
    if hasattr(values, "detach"):
        values = _of_tensor(values)
    elif isinstance(values, np.ma.MaskedArray):
        values = np.ma.filled(values.astype(np.float64), np.nan)
    elif isinstance(values, list | tuple) and values and hasattr(values[0], "detach"):
        values = [_of_tensor(row) for row in values]
    if getattr(getattr(values, "dtype", None), "kind", "") == "c":
        raise TypeError(f"Expected `{name}` to hold real numbers, but got {values.dtype}")
    try:
        return np.asarray(values, dtype=dtype)
    except (TypeError, ValueError) as error:
        cells = np.asarray(values, dtype=object)
        if cells.ndim != 1 or not all(
            isinstance(cell, list | tuple | np.ndarray) for cell in cells
        ):
            raise TypeError(f"Expected `{name}` to hold numbers, but got {error}") from error
        if len(lengths := {len(cell) for cell in cells}) > 1:
            raise fail(name, "rows of one length", f"lengths {sorted(lengths)}") from error
        return np.stack([array(name, cell, dtype) for cell in cells])


def _of_tensor(values: Any) -> Any:
    """A tensor as numpy; any other value unchanged."""
    if not hasattr(values, "detach"):
        return values
    plain = values.detach().cpu().resolve_conj().resolve_neg()
    try:
        return plain.numpy()
    except TypeError:  # a floating type that numpy does not have
        return plain.float().numpy()


def strings(name: str, values: Iterable[str]) -> tuple[str, ...]:
    """A sequence of strings as a tuple; one string, a dict and a set (no order) are refused."""
    if isinstance(values, str):
        raise TypeError(
            f"Expected `{name}` to be a list of strings, but got one string: {values[:60]!r}. "
            f"For a single one pass [{name}]"
        )
    if isinstance(values, Mapping | set | frozenset) or not isinstance(values, Iterable):
        got = f"{type(values).__name__}: {values!r:.60}"
        raise TypeError(f"Expected `{name}` to be a list of strings, but got {got}")
    items = tuple(values.to_pylist() if hasattr(values, "to_pylist") else values)
    for position, item in enumerate(items):
        if not isinstance(item, str):
            raise TypeError(
                f"Expected `{name}` to be a list of strings, "
                f"but got {type(item).__name__} at position {position}"
            )
        encodable(name, item)
    return items


def encodable(name: str, text: str) -> str:
    """`text`, unless it holds half of a surrogate pair, which is no character in any file."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise fail(name, "text that UTF-8 can hold", ascii(text[:60])) from error
    return text


def instance(name: str, value: Any, kind: type, how: str) -> None:
    """Raise `TypeError` unless `value` is of a kind; `how` says what makes one."""
    if not isinstance(value, kind):
        got = f"{type(value).__name__}: {value!r:.60}"
        raise TypeError(f"Expected `{name}` to be a {kind.__name__} ({how}), but got {got}")


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
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        value = value.item()  # of a tensor or an array without axes
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise TypeError(f"Expected `{name}` to be a number, but got {value!r}")
    if not (minimum < value if strict else minimum <= value) or not value <= maximum:
        opening = "(" if strict else "["
        raise fail(name, f"a number in {opening}{minimum:g}, {maximum:g}]", value)
    return float(value)


def vector(name: str, values: ArrayLike, size: int | None = None) -> NDArray[np.float64]:
    """A finite float64 vector of shape (N,), optionally of a given size."""
    found = array(name, values, np.float64)
    if found.ndim != 1:
        raise fail(name, "a vector of shape (N,)", f"shape {found.shape}")
    if size is not None and len(found) != size:
        raise fail(name, f"a vector of length {size}", f"length {len(found)}")
    if not np.isfinite(found).all():
        row = int(np.flatnonzero(~np.isfinite(found))[0])
        raise fail(name, "finite", f"{found[row]} at row {row}")
    return found


def score_matrix(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """Option scores of shape (N, K) as float64.

    Rows with fewer than K options are padded with ``-inf`` on the right; every row needs at least
    two finite scores, and NaN and ``+inf`` are refused with the row that holds them. So are
    two rows or more of another kind, see `unnormalised`.
    """
    found = array(name, values, np.float64)
    if found.ndim != 2:
        raise fail(name, "a matrix of shape (N, K)", f"shape {found.shape}")
    finite = np.isfinite(found)
    padding = np.isneginf(found)
    bad = ~(finite | padding)
    if bad.any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        raise fail(name, "finite", f"{found[row, column]} at row {row}, option {column}")
    if (padding[:, :-1] & finite[:, 1:]).any():
        row = int(np.flatnonzero((padding[:, :-1] & finite[:, 1:]).any(axis=1))[0])
        raise fail(name, "padded with -inf on the right only", f"-inf inside row {row}")
    if len(found) and (few := finite.sum(axis=1) < 2).any():
        row = int(np.flatnonzero(few)[0])
        raise fail(name, "scores of at least two options", f"{finite[row].sum()} at row {row}")
    unnormalised(name, found)
    return found


def same_options(scores: NDArray[np.float64], reference: NDArray[np.float64]) -> None:
    """Raise `ValueError` unless two score matrices are of the same options, row by row."""
    if scores.shape != reference.shape:
        shapes = f"of shape {scores.shape} (as `scores`)", f"shape {reference.shape}"
        raise fail("reference_scores", *shapes)
    differing = (np.isneginf(scores) != np.isneginf(reference)).any(axis=1)
    if differing.any():
        row = int(differing.argmax())
        counts = [int(np.isfinite(values[row]).sum()) for values in (scores, reference)]
        expected = f"of the options of `scores`, {counts[0]} in row {row}"
        raise fail("reference_scores", expected, counts[1])


_LOGARITHMS = {
    "logarithms to base 2. Multiply them by log(2)": np.log(2.0),
    "logarithms to base 10. Multiply them by log(10)": np.log(10.0),
    "negated log-probabilities. Change their sign": -1.0,
}


def unnormalised(name: str, scores: NDArray[np.float64], where: str = "") -> None:
    """Raise `ValueError` for checked scores that are probabilities or logarithms to another base.

    That they are shows in sums of about one in nine rows of ten; `where` is added to the message.
    Indicators of one option and ties may be anything, and so may a single row.
    """
    rows = scores[:: max(1, len(scores) // 1000)]  # so many tell enough
    real = np.isfinite(rows)
    if len(rows) < 2 or rows.min(initial=0, where=real) < 0 < rows.max():
        return
    if (~real | (rows == rows[:, :1])).all():
        return

    def near_one(sums: NDArray[np.float64], most: float) -> bool:
        # In scores of the right kind, a sum comes within d of one with a chance of about 2 d.
        tolerance = min(most, 0.5 * 1e-6 ** (1 / max(len(sums), 1)))
        return len(sums) > 1 and float(np.mean(np.abs(sums - 1) <= tolerance)) >= 0.9

    kind, share = "", np.where(real, rows, 0.0)
    for total in (1, 100):
        inside = share.min() >= 0 and share.max() <= total and (share % total).any()
        if inside and near_one(share.sum(axis=1) / total, 0.05):  # ten options of two digits
            kind = f"probabilities: rows sum to {total}. Take their logarithms"
    for found, factor in _LOGARITHMS.items():
        with np.errstate(over="ignore"):
            probs = np.exp(np.where(real, factor * rows, -np.inf))
            unsure = probs.max(axis=1) < 0.95  # in sure rows all bases sum to about one
            probs, natural = probs[unsure], np.exp(rows[unsure]).sum(axis=1)
        if near_one(probs.sum(axis=1), 0.01) and abs(np.median(natural) - 1) > 0.03:
            kind = found if np.ptp(probs, axis=0).max() > 0.02 else kind  # rows must differ
    if kind:
        raise fail(name, "unnormalised, like logits or log-probabilities", f"{kind}{where}")


Sliceable = TypeVar("Sliceable", str, tuple[int, ...])


def extensions(items: Iterable[Sliceable]) -> dict[Sliceable, tuple[Sliceable, ...]]:
    """Texts or runs of tokens that begin with other ones, with these, the shortest first."""
    found, begun = {}, list[Sliceable]()
    for item in sorted(set(items)):  # behind an item stand all that begin with it
        while begun and item[: len(begun[-1])] != begun[-1]:
            begun.pop()
        if begun:
            found[item] = tuple(begun)
        begun.append(item)
    return found


MOST_MASS = 1.05
"""Largest sum of probabilities: log-probabilities may have been rounded to bfloat16."""


def mass(texts: Sequence[str], logprobs: Sequence[float], where: str) -> float:
    """Probability of all texts that may follow another; an error if it is more than 1.

    One that begins with another of them does not count, since that other's contains it.
    """
    longer = extensions(texts)
    short = [n for text, n in zip(texts, logprobs, strict=True) if text not in longer]
    found = float(np.exp(np.minimum(short, 700.0)).sum())
    if found > MOST_MASS:
        expected = "of one distribution, with a probability of all options of at most 1"
        raise fail("log-likelihoods", expected, f"{found:.3g}{where}")
    return min(found, 1.0)


def indices(name: str, values: ArrayLike) -> NDArray[np.int64]:
    """A vector of integers as int64; truth values, also among integers, are refused."""
    found = array(name, values)
    truth = isinstance(values, list | tuple) and any(isinstance(v, bool | np.bool_) for v in values)
    if truth or (found.size and not np.issubdtype(found.dtype, np.integer)):
        raise TypeError(
            f"Expected `{name}` to hold integers (-1: no label), but got "
            f"{'a truth value' if truth else found.dtype}"
        )
    if found.ndim != 1:
        raise fail(name, "a vector of shape (N,)", f"shape {found.shape}")
    if (large := found > np.iinfo(np.int64).max).any():
        raise fail(name, "integers of 64 bits", found[large][0])
    return found.astype(np.int64, copy=False)


def label_vector(name: str, values: ArrayLike, n_options: NDArray[np.int64]) -> NDArray[np.int64]:
    """Labels of shape (N,) as int64, each in [0, K of its row); -1 (no label) is refused."""
    found = array(name, values)
    if found.ndim != 1 or len(found) != len(n_options):
        raise fail(name, f"a vector of length {len(n_options)}", f"shape {found.shape}")
    found = indices(name, values)
    bad = (found < 0) | (found >= n_options)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise fail(name, f"in [0, {n_options[row]})", f"{found[row]} at row {row}")
    return found


def unit_interval(name: str, values: ArrayLike, size: int | None = None) -> NDArray[np.float64]:
    """A float64 vector of at least one number in [0, 1]."""
    found = array(name, values, np.float64)
    if found.shape == (0,):
        raise fail(name, "a vector of at least one number", "an empty one")
    if found.ndim != 1 or not (found.min() >= 0 and found.max() <= 1):  # NaN fails both
        found = vector(name, found)
        row = int(np.flatnonzero((found < 0) | (found > 1))[0])
        raise fail(name, "in [0, 1]", f"{found[row]} at row {row}")
    if size is not None and len(found) != size:
        raise fail(name, f"a vector of length {size}", f"length {len(found)}")
    return found


def binary(name: str, values: ArrayLike, size: int) -> NDArray[np.float64]:
    """A vector of zeros and ones (or booleans) of a given size, as float64."""
    array = unit_interval(name, values, size)
    if (between := (array > 0) & (array < 1)).any():
        row = int(np.flatnonzero(between)[0])
        raise fail(name, "0 or 1 in every row", f"{array[row]} at row {row}")
    return array


def prob_matrix(name: str, values: ArrayLike, tolerance: float = 1e-4) -> NDArray[np.float64]:
    """Probabilities of shape (N, K), N >= 1, as float64; every row sums to one."""
    found = array(name, values, np.float64)
    if found.ndim != 2 or not found.size:
        raise fail(name, "a matrix of shape (N, K) with at least one row", f"shape {found.shape}")
    bad = ~((found >= 0) & (found <= 1))
    if bad.any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        raise fail(name, "in [0, 1]", f"{found[row, column]} at row {row}, option {column}")
    total = found.sum(axis=1)
    if (bad := np.abs(total - 1) > tolerance).any():
        row = int(np.flatnonzero(bad)[0])
        raise fail(name, "rows that sum to one", f"{total[row]:.6g} at row {row}")
    return found


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
    confidence, correct = array("confidence", confidence), array("correct", correct)
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
