"""Columns that tell questions apart: given by the user, or read off an output table."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thermometer import _checks, table_files
from thermometer.protocols import benchmark_of
from thermometer.scaling import scale_scores
from thermometer.table_files import QUESTIONS
from thermometer.tables import OutputTable

MISSING = "(missing)"
_MOST_VALUES = 10  # a number of more different values is cut into ranges


@dataclass(frozen=True, eq=False)
class Column:
    """A column as S groups of rows.

    Args:
        name: Of the column.
        labels: (S,) names of the groups, all different.
        codes: (N,) int64 group of every row.
    """

    name: str
    labels: tuple[str, ...]
    codes: NDArray[np.int64]


def columns(by: Any, size: int) -> dict[str, Any]:
    """The columns of a mapping or of a frame, by name; each must have `size` rows.

    Raises:
        TypeError: If `by` is neither.
        ValueError: If there is no column, or one is of another length.

    Example:
        >>> list(columns({"topic": ["law", "art"]}, size=2))
        ['topic']
    """
    if hasattr(by, "columns"):
        found = {str(name): by[name] for name in by.columns}
    elif isinstance(by, Mapping):
        found = {str(name): values for name, values in by.items()}
    else:
        kind = type(by).__name__
        raise TypeError(f"Expected `by` to be a mapping of columns or a frame, but got {kind}")
    if not found:
        raise _checks.fail("by", "at least one column", "none")
    for name, values in found.items():
        if isinstance(values, str) or not hasattr(values, "__len__"):
            kind = type(values).__name__
            raise TypeError(f"Expected `by[{name!r}]` to be a column of values, but got {kind}")
        if len(values) != size:
            raise _checks.fail(f"by[{name!r}]", f"of length {size}", f"length {len(values)}")
    return found


def cut(name: str, values: Any, *, min_size: int = 20, n_ranges: int = 5) -> Column:
    """Groups of a column.

    Numbers of more than ten different values are cut at quantiles into `n_ranges` ranges of about
    equal counts, named by the smallest and the largest number in them; equal numbers stay together,
    so that there may be fewer. Other values are groups by their text. ``None``, NaN and what pandas
    calls missing are the group ``(missing)``. Two or more groups of fewer than `min_size` rows
    become one, ``(other: k values)``.

    Args:
        name: Of the column.
        values: (N,) of any type: a list, an array, a column of a frame.
        min_size: Groups of fewer rows join.
        n_ranges: Number of ranges aimed at.

    Example:
        >>> cut("length", range(100), n_ranges=4).labels
        ('0 to 24', '25 to 49', '50 to 74', '75 to 99')
        >>> column = cut("topic", ["law", "art", None, "law", "go"], min_size=2)
        >>> column.labels, column.codes.tolist()
        (('(missing)', '(other: 2 values)', 'law'), [2, 1, 0, 2, 1])
    """
    # As objects first: numpy would make the text "nan" of a NaN among texts.
    if hasattr(values, "to_pylist"):  # of pyarrow, whose items are no plain values
        values = values.to_pylist()
    if hasattr(values, "dtype"):
        array = _checks.array(f"by[{name!r}]", values)
    else:
        array = np.array([*values], dtype=object)
    if array.ndim != 1:
        raise _checks.fail(f"by[{name!r}]", "a vector of shape (N,)", f"shape {array.shape}")
    missing = _missing(values, array)
    present = array[~missing]
    number = _as_numbers(present)
    if number is not None and len(np.unique(number)) > _MOST_VALUES:
        named = _ranges(number, n_ranges)
    elif number is not None:
        named = np.array([_text(value) for value in number.tolist()], dtype=np.str_)
    else:
        named = np.array([str(value) for value in present.tolist()], dtype=np.str_)
    names = np.full(len(array), MISSING, dtype=np.result_type(named.dtype, f"<U{len(MISSING)}"))
    names[~missing] = named
    labels, codes, counts = np.unique(names, return_inverse=True, return_counts=True)
    small = np.flatnonzero((counts < min_size) & (labels != MISSING))
    if len(small) > 1:
        shown = labels.astype(object)
        shown[small] = f"(other: {len(small)} values)"
        labels, place = np.unique(shown.astype(np.str_), return_inverse=True)
        codes = place[codes]
    return Column(name, tuple(map(str, labels)), codes.astype(np.int64))


def _missing(values: Any, array: NDArray[Any]) -> NDArray[np.bool_]:
    """Which cells hold nothing; frames know it of their own columns."""
    if hasattr(values, "isna"):
        return np.asarray(values.isna(), dtype=np.bool_)
    real, nothing = float | np.floating, np.zeros(len(array), dtype=np.bool_)
    if array.dtype.kind == "f":
        nothing[:] = np.isnan(array)
    elif array.dtype.kind in "mM":
        nothing[:] = np.isnat(array)
    elif array.dtype.kind == "O":
        nothing[:] = [v is None or (isinstance(v, real) and bool(np.isnan(v))) for v in array]
    return nothing


def _as_numbers(present: NDArray[Any]) -> NDArray[Any] | None:
    """The cells as numbers if all of them are; truth values are none."""
    if present.dtype.kind in "iuf":
        return present
    kinds = int | float | np.integer | np.floating
    if present.dtype.kind != "O" or any(
        isinstance(value, bool) or not isinstance(value, kinds) for value in present
    ):
        return None
    return present.astype(np.float64)


def _ranges(number: NDArray[Any], n_ranges: int) -> NDArray[np.str_]:
    """The name of each number's range; as many digits as it takes to tell the ranges apart."""
    last = np.maximum(np.arange(1, n_ranges) * len(number) // n_ranges, 1) - 1
    closed_by = np.unique(np.sort(number)[last])
    index = np.searchsorted(closed_by, number, side="left")
    kept = np.unique(index)
    bounds = [(number[index == i].min(), number[index == i].max()) for i in kept]
    names: list[str] = []
    for digits in (4, 6, 9, 17):
        texts = [(_text(low, digits), _text(high, digits)) for low, high in bounds]
        names = [low if low == high else f"{low} to {high}" for low, high in texts]
        ends = [text for pair in texts for text in dict.fromkeys(pair)]
        if len(set(ends)) == len(ends):
            break
    return np.array(names, dtype=np.str_)[np.searchsorted(kept, index)]


def _text(value: Any, digits: int | None = None) -> str:
    """A number in so many digits, by default in all; whole numbers without a point."""
    if float(value).is_integer() and abs(value) < 1e15:
        return str(int(value))
    return repr(float(value)) if digits is None else f"{float(value):.{digits}g}"


_OF_QUESTIONS = ("topic", "subject", "category", "language", "split")  # if questions have them


def question_columns(
    table: OutputTable, questions: Iterable[Mapping[str, Any]] = ()
) -> dict[str, list[Any]]:
    """The columns for `segments` that suit a table of questions.

    Args:
        table: Of N questions.
        questions: Rows of the JSON lines format, in any order, of at least the table's ids;
            `read_questions` reads those of a table's folder. Without them there is no `words`.

    Returns:
        N values by name, and only columns in which there is a difference: `task`; `benchmark`, what
        stands before the first ``/`` of the task's name; `options`, their number; `words`, the
        length of question and context; and `topic`, `subject`, `category`, `language` and `split`
        where questions have them.

    Raises:
        ValueError: If questions are given, but one of the table's is not among them.

    Example:
        >>> table = OutputTable.from_arrays(["a", "b"], ["mmlu/law", "arc"], [0, 1], [[1, 0]] * 2)
        >>> rows = [{"id": "b", "question": "Why?"}, {"id": "a", "question": "Is it so?"}]
        >>> question_columns(table, rows)
        {'task': ['mmlu/law', 'arc'], 'benchmark': ['mmlu', 'arc'], 'words': [3, 1]}
    """
    tasks = table.tasks.tolist()
    columns: dict[str, list[Any]] = {
        "task": tasks,
        "benchmark": [benchmark_of(task) for task in tasks],
    }
    if table.scores is not None:
        columns["options"] = table.n_options.tolist()
    by_id = {str(row["id"]): row for row in questions}
    if by_id:
        if missing := [identifier for identifier in table.ids if identifier not in by_id]:
            got = f"{len(missing)} missing, first {missing[0]}"
            raise _checks.fail("questions", "of all ids of the table", got)
        rows = [by_id[identifier] for identifier in table.ids]
        texts = [f"{row.get('context') or ''} {row.get('question') or ''}" for row in rows]
        columns["words"] = [len(text.split()) for text in texts]
        for name in _OF_QUESTIONS:
            columns[name] = [row.get(name) for row in rows]
    found = {k: values for k, values in columns.items() if len(set(map(str, values))) > 1}
    if found.get("benchmark") == found.get("task"):
        found.pop("benchmark", None)
    return found


def read_questions(folder: str | Path) -> list[dict[str, Any]]:
    """The questions of an output table; `OutputTable.open` checks that they are its own."""
    return table_files.read_questions(Path(folder) / QUESTIONS)


def top_answers(table: OutputTable) -> tuple[Any, Any]:
    """Confidence and correctness of the highest score of every question, both (N,) float64.

    Raises:
        ValueError: If the table has no scores, or a question no label.

    Example:
        >>> table = OutputTable.from_arrays(["a"], ["t"], [1], [[0.0, 0.0]])
        >>> confidence, correct = top_answers(table)
        >>> confidence.tolist(), correct.tolist()
        ([0.5], [0.0])
    """
    scores = table.require("scores")
    if not table.labelled:
        row = int(np.flatnonzero(table.labels < 0)[0])
        raise _checks.fail("table", "labelled in every row", f"no label of {table.ids[row]}")
    probs = scale_scores(scores, 1.0)
    correct = (scores.argmax(axis=1) == table.labels).astype(np.float64)
    return probs.max(axis=1), correct
