"""Single files of other programs: answers with confidences, and recorded scores.

A single file has no manifest; its name stands for the model. JSON lines are parsed by Python, since
a damaged file can crash Arrow's own reader of them.
"""

import gzip
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from thermometer import _checks, _files, table_files
from thermometer.scaling import scale_scores
from thermometer.tables import OutputTable


def read_columns(path: Path) -> pa.Table:
    r"""All columns of a file, in its order, of the types that their values have.

    Args:
        path: A ``.csv``, ``.jsonl``, ``.ndjson``, ``.json`` (lines) or ``.parquet`` file, or one of
            them but Parquet as ``.gz``. In JSON lines NaN and infinity are taken as numbers, and a
            key that a line lacks is an empty cell.

    `ValueError` for another kind of file, an empty or a damaged one, names the file.

    Example:
        >>> from tempfile import mkdtemp
        >>> file = Path(mkdtemp()) / "answers.jsonl"
        >>> size = file.write_text('{"p": 0.5}\n{"p": NaN, "topic": "law"}\n')
        >>> read_columns(file).to_pydict()
        {'p': [0.5, nan], 'topic': [None, 'law']}
    """
    if not path.is_file():
        raise FileNotFoundError(f"Expected a file, but there is no {path}")
    kind = Path(path.name.removesuffix(".gz")).suffix
    if kind not in _READERS or path.name.endswith(".parquet.gz"):
        known = ", ".join(_READERS)
        raise _checks.fail("file", f"one of {known} (or with .gz, but Parquet)", path)
    if not path.stat().st_size:
        raise ValueError(f"{path}: the file is empty")
    try:
        table = _READERS[kind](path)
    except (pa.ArrowException, OSError) as error:
        why = f"{str(error).partition(chr(0))[0]}{_separator(path)}"
        raise ValueError(f"{path}: damaged, or of another format ({why})") from error
    if kind == ".csv" and table.num_columns == 1 and (other := _separator(path)):
        raise ValueError(f"{path}: one column only{other}")
    table = table_files.intact(path, table)
    if repeated := sorted({n for n in table.column_names if table.column_names.count(n) > 1}):
        raise ValueError(f"{path}: two columns of one name: {', '.join(map(repr, repeated))}")
    return table


def _separator(path: Path) -> str:
    """What to know of a CSV file whose first line has other separators than commas, or is none."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            line = file.readline(1 << 16)
    except (OSError, EOFError, zlib.error):  # damaged, as is said anyway
        return ""
    if b"\0" in line:
        return "; it is no UTF-8, as it seems"
    for name, mark in (("semicolons", b";"), ("tabs", b"\t")):
        if mark in line and b"," not in line:
            return f"; it is separated by {name}, where commas are expected"
    return ""


def _lines(path: Path) -> pa.Table:
    rows = [row for _, row in _files.read_lines(path, constants=True)]
    columns = {}
    for name in dict.fromkeys(key for row in rows for key in row):
        try:
            columns[name] = pa.array([row.get(name) for row in rows])
        except (pa.ArrowException, OverflowError, UnicodeEncodeError) as error:
            raise ValueError(f"{path}: values of {name!r} do not go together ({error})") from error
    return pa.table(columns)


_READERS = {
    ".csv": pyarrow.csv.read_csv,
    ".jsonl": _lines,
    ".ndjson": _lines,
    ".json": _lines,
    ".parquet": pyarrow.parquet.read_table,
}


_ENDINGS = (".parquet", ".jsonl", ".jsonl.gz", ".ndjson", ".json")


def load_table(source: str | Path) -> OutputTable:
    """The output table in a folder, or in one file.

    Args:
        source: A folder that `extract` wrote (or another program, see docs/formats.md); or a
            ``.parquet`` or ``.jsonl`` file with the columns `id`, `task`, `label` (index of the
            right option, empty or -1 where unknown), `scores` (a list for each row), and, in
            Parquet, `features` if there are any. Other columns are left alone.

    Returns:
        The table, rows in the order of the file.

    Raises:
        FileNotFoundError: If there is no such file or folder, or the folder is unfinished.
        ValueError: For another kind of file, a damaged one, missing columns, or values that no
            table may hold. The message names the file.

    Example:
        >>> from tempfile import mkdtemp
        >>> file = Path(mkdtemp()) / "my-model.jsonl"
        >>> size = file.write_text('{"id": "q1", "task": "t", "label": 0, "scores": [2.5, 1.0]}')
        >>> table = load_table(file)
        >>> table.scores.tolist(), table.provenance["scores"]["model"]
        ([[2.5, 1.0]], 'my-model')
    """
    path = Path(source)
    if path.is_dir():
        return OutputTable.open(path)
    if not path.is_file():
        raise FileNotFoundError(f"Expected a table, but there is no {path}")
    if not path.name.endswith(_ENDINGS):
        raise _checks.fail("source", "a folder, a .parquet or a .jsonl file", path)
    columns = table_files.columns_of(table_files.typed(path, read_columns(path)))
    ending = next(ending for ending in _ENDINGS if path.name.endswith(ending))
    source_file = {"model": path.name.removesuffix(ending), "file": path.name}
    provenance = {kind: source_file if kind in columns else None for kind in ("features", "scores")}
    try:
        return OutputTable.from_columns(columns, provenance)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Answers:
    """What a file says of N answers.

    Args:
        confidence: (N,) float64 by the name of the column.
        correct: (N,) zeros and ones.
        by: Values of the columns that make segments, by name.
        n_skipped: Rows that were left out because a cell was empty.
    """

    confidence: dict[str, Vector]
    correct: Vector
    by: dict[str, list[Any]]
    n_skipped: int


def read_answers(
    file: str | Path,
    *,
    confidence: Sequence[str] = (),
    correct: str | None = None,
    scores: Sequence[str] = (),
    label: str | None = None,
    by: Sequence[str] = (),
    skip_empty: bool = False,
) -> Answers:
    r"""Read a table of answers.

    Either `confidence` and `correct` are named, or `scores` and `label`: then the confidence is the
    largest softmax of a row, and the answer its first option of the highest score.

    Args:
        file: A ``.csv``, ``.jsonl``, ``.ndjson`` or ``.parquet`` file, or one of them as ``.gz``.
        confidence: Columns of probabilities that the answer is right, in [0, 1].
        correct: Column of booleans, or zeros and ones.
        scores: One column of lists of unnormalised scores, or several columns, one per option.
        label: Column of indices of the right option.
        by: Columns that make segments.
        skip_empty: Leave out rows in which one of the numbers is missing, instead of failing.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: For another kind of file, a damaged or empty one, a missing column, or a value
            out of range. The message names the file and the column or the row, counted from 0.

    Example:
        >>> from tempfile import mkdtemp
        >>> file = Path(mkdtemp()) / "answers.csv"
        >>> size = file.write_text("p,ok,topic\n0.9,1,law\n0.6,0,art\n")
        >>> answers = read_answers(file, confidence=["p"], correct="ok", by=["topic"])
        >>> answers.confidence["p"].tolist(), answers.correct.tolist(), answers.by
        ([0.9, 0.6], [1.0, 0.0], {'topic': ['law', 'art']})
    """
    path = Path(file)
    table = read_columns(path)
    try:
        by_confidence = bool(confidence) and correct is not None and not scores and label is None
        by_scores = bool(scores) and label is not None and not confidence and correct is None
        if not by_confidence and not by_scores:
            given = (confidence, correct, scores, label)
            named = zip(("confidence", "correct", "scores", "label"), given, strict=True)
            got = " and ".join(name for name, column in named if column) or "none"
            raise ValueError(
                "Expected the columns to be named, confidence and correct or else scores and "
                f"label, but got {got}. There are {', '.join(table.column_names)}"
            )
        numbers = [*confidence, *scores, correct if by_confidence else label]
        for name in [*numbers, *by]:
            if name not in table.column_names:
                found = ", ".join(map(repr, table.column_names))
                raise _checks.fail("column", f"one of {found}", repr(name))
        whole = len(table)
        if skip_empty:
            empty = np.any([_empty(table[name]) for name in numbers], axis=0)
            table = table.filter(pa.array(~empty))
        if not len(table):
            got = f"{whole} with empty cells" if whole else "none"
            raise _checks.fail("file", "a table of at least one row", got)
        if by_confidence:
            right = _checks.binary(str(correct), _numbers(table, str(correct)), len(table))
            claimed = {n: _checks.unit_interval(n, _numbers(table, n)) for n in confidence}
        else:
            logits = _checks.score_matrix("scores", _scores(table, scores))
            options = np.isfinite(logits).sum(axis=1)
            labels = _numbers(table, str(label))
            if (between := np.flatnonzero(labels != np.floor(labels))).size:
                got = f"{labels[between[0]]} at row {between[0]}"
                raise _checks.fail(str(label), "whole numbers", got)
            answers = _checks.label_vector(str(label), labels.astype(np.int64), options)
            right = (logits.argmax(axis=1) == answers).astype(np.float64)
            claimed = {"confidence": scale_scores(logits, 1.0).max(axis=1)}
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    columns = {name: table[name].to_pylist() for name in by}
    return Answers(claimed, right, columns, whole - len(table))


def _empty(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Null or NaN."""
    return np.array(column.is_null(nan_is_null=pa.types.is_floating(column.type)).to_numpy())


def _numbers(table: pa.Table, name: str) -> Vector:
    """A column as float64; an empty cell and a text are errors."""
    column = table[name]
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        example = next((str(value)[:40] for value in column.to_pylist() if value is not None), None)
        got = f"one of type {kind}, such as {example!r}"
        raise _checks.fail(name, "a column of numbers or truth values", got)
    if (empty := np.flatnonzero(_empty(column))).size:
        expected = "a number in every row (or leave such rows out: skip_empty)"
        raise _checks.fail(name, expected, f"none at row {empty[0]}")
    return np.asarray(column.to_numpy(), dtype=np.float64)


def _scores(table: pa.Table, names: Sequence[str]) -> Vector:
    """(N, K) scores from a column of lists, or from a column per option."""
    if len(names) > 1:
        return np.stack([_numbers(table, name) for name in names], axis=1)
    column = table[names[0]]
    lists = column.to_pylist()
    if not pa.types.is_list(column.type) and not pa.types.is_fixed_size_list(column.type):
        raise _checks.fail(names[0], "a column of lists of numbers", f"one of type {column.type}")
    longest = max(len(row or ()) for row in lists)
    scores = np.full((len(lists), longest), -np.inf)
    for number, row in enumerate(lists):
        if not row or any(not isinstance(value, int | float) for value in row):
            raise _checks.fail(names[0], "a list of numbers in every row", f"{row} at row {number}")
        scores[number, : len(row)] = row
    return scores
