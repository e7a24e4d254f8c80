"""Columns of one file that another program wrote: CSV, JSON lines or Parquet, as an Arrow table.

Which column means what is for others to say. JSON lines are parsed by Python: Arrow's own reader of
them can be crashed by a damaged file.
"""

import gzip
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from thermometer import _checks, _files, table_files


def read_columns(path: Path) -> pa.Table:
    r"""All columns of a file, in its order, of the types that their values have.

    Args:
        path: A ``.csv``, ``.jsonl``, ``.ndjson``, ``.json`` (lines) or ``.parquet`` file, or one of
            them but Parquet as ``.gz``. In JSON lines NaN and infinity are taken as numbers, and a
            key that a line lacks is an empty cell.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: For another kind of file, an empty or a damaged one. The message names the file.

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
