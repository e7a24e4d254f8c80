"""Single files of other programs: answers with confidences, and recorded scores.

A single file has no manifest; its name stands for the model. JSON lines and CSV are parsed by
Python: a damaged file can crash Arrow's reader of the one, and its reader of the other swallows
rows behind a quotation mark that is not closed.
"""

import csv
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
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
            key that a line lacks is an empty cell. A column of CSV holds numbers or truth values if
            all its cells do, whatever quotation marks they have; 007 is a text.

    `ValueError` for another kind of file, another encoding than UTF-8, an empty or a damaged file
    names the file.

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
        why = str(error).partition(chr(0))[0]
        raise ValueError(f"{path}: damaged, or of another format ({why})") from error
    table = table_files.intact(path, table)
    if repeated := sorted({n for n in table.column_names if table.column_names.count(n) > 1}):
        raise ValueError(f"{path}: two columns of one name: {', '.join(map(repr, repeated))}")
    for place, name in enumerate(table.column_names):
        column = table[name]
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_decimal(column.type) or pa.types.is_float16(column.type):
            column = column.cast(pa.float64())
        table = table.set_column(place, name, column)
    return table


def _csv(path: Path) -> pa.Table:
    """Strictly: a quotation mark in the wrong place, or one too few, may swallow rows."""
    csv.field_size_limit(2**31 - 1)  # answers may be longer than the 131,072 of Python's default
    lines = csv.reader(_files.text_lines(path), strict=True)
    rows: list[list[str]] = []
    try:
        header = next((cells for cells in lines if cells), [])
        for name, mark in (("semicolons", ";"), ("tabs", "\t")):
            if len(header) == 1 and mark in header[0]:
                why = f"it is separated by {name}, where commas are expected"
                raise ValueError(f"{path}: one column only; {why}")
        if any("\0" in name for name in header):
            raise ValueError(f"{path}: damaged, or of another format; it is no UTF-8, as it seems")
        for cells in lines:
            if len(cells) not in (0, len(header)):
                got = f"{len(header)} cells, as in the header, but got {len(cells)}"
                raise ValueError(f"{path}, line {lines.line_num}: expected {got}")
            rows += [cells] if cells else []
    except csv.Error as error:
        raise ValueError(f"{path}, line {lines.line_num}: damaged ({error})") from error
    columns = [_cells([row[place] for row in rows]) for place in range(len(header))]
    return pa.table(columns, names=header)


# What pandas takes for an empty cell, too.
_NOTHING = {"", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND"}
_NOTHING |= {"1.#QNAN", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"}
_NUMBER = re.compile(
    r"[+-]?((0|[1-9]\d*)(\.\d*)?|\.\d+)(e[+-]?\d+)?|[+-]?inf(inity)?", re.ASCII | re.IGNORECASE
)


def _cells(cells: Sequence[str]) -> pa.Array:
    """A column of CSV: numbers if all of its cells are, or truth values, or else the texts."""
    different = {cell.strip() for cell in cells} - _NOTHING
    for parse in (_number, _truth):
        found = {cell: parse(cell) for cell in different}
        if found and None not in found.values():
            return pa.array([found.get(cell.strip()) for cell in cells])
    return pa.array([cell or None for cell in cells], pa.string())


def _number(cell: str) -> float | None:
    """A cell as a number, unless it has no such value in float64 or is a name, such as 007."""
    if not _NUMBER.fullmatch(cell):
        return None
    value = float(cell)
    overflow = math.isinf(value) and "n" not in cell.lower()
    name = abs(value) >= 2**53 and cell.lstrip("+-").isdigit()
    return None if overflow or name else value


def _truth(cell: str) -> bool | None:
    return {"true": True, "false": False}.get(cell.lower())


def _lines(path: Path) -> pa.Table:
    rows = [row for _, row in _files.read_lines(path, constants=True)]
    columns = {}
    for name in dict.fromkeys(key for row in rows for key in row):
        values = [row.get(name) for row in rows]
        kinds = {*map(type, values), *(type(x) for v in values if isinstance(v, list) for x in v)}
        try:
            if bool in kinds and kinds & {int, float}:  # Arrow may make numbers of truth values
                raise pa.ArrowInvalid("numbers and truth values")
            columns[name] = pa.array(values)
        except (pa.ArrowException, OverflowError, UnicodeEncodeError) as error:
            raise ValueError(f"{path}: values of {name!r} do not go together ({error})") from error
    return pa.table(columns)


_READERS = {
    ".csv": _csv,
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
            outcome = _numbers(table, str(correct), truth=True)
            right = _checks.binary(str(correct), outcome, len(table))
            claimed = {n: _checks.unit_interval(n, _numbers(table, n)) for n in confidence}
        else:
            logits = _checks.score_matrix("scores", _scores(table, scores))
            options = np.isfinite(logits).sum(axis=1)
            labels = _numbers(table, str(label))
            if (between := np.flatnonzero((labels != np.floor(labels)) | (abs(labels) > 1e9))).size:
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


def _numbers(table: pa.Table, name: str, *, truth: bool = False) -> Vector:
    """A column as float64; an empty cell, a text and, unless allowed, a truth value are errors."""
    column = table[name]
    kind = column.type
    if not table_files.is_number(kind) and not (truth and pa.types.is_boolean(kind)):
        example = next((str(value)[:40] for value in column.to_pylist() if value is not None), None)
        got = f"one of type {kind}, such as {example!r}"
        alone = "or truth values" if truth else "only"
        raise _checks.fail(name, f"a column of numbers {alone}", got)
    if (empty := np.flatnonzero(_empty(column))).size:
        expected = "a number in every row (or leave such rows out: skip_empty)"
        raise _checks.fail(name, expected, f"none at row {empty[0]}")
    return np.asarray(column.to_numpy(), dtype=np.float64)


def _scores(table: pa.Table, names: Sequence[str]) -> Vector:
    """(N, K) scores from a column of lists, or from a column per option."""
    if len(names) > 1:
        return np.stack([_numbers(table, name) for name in names], axis=1)
    (name,) = names
    column = table[name]
    if column.null_count:
        row = int(np.flatnonzero(_empty(column))[0])
        raise _checks.fail(name, "a list of numbers in every row", f"None at row {row}")
    try:
        return table_files.ragged(table_files.as_type(name, column, "scores"))
    except ValueError as error:
        expected = "a column of lists of numbers"
        raise _checks.fail(name, expected, f"one of type {column.type}") from error
