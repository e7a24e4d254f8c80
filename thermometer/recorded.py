"""Tables from one file: scores that another program recorded, as Parquet or JSON lines.

A folder with a manifest proves where its numbers come from; a single file is taken at its word, and
its name stands for the model. Nothing here runs a model.
"""

from pathlib import Path

from thermometer import _checks, table_files
from thermometer.column_files import read_columns
from thermometer.tables import OutputTable

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
    made = {"model": path.name.removesuffix(ending), "file": path.name}
    provenance = {kind: made if kind in columns else None for kind in ("features", "scores")}
    try:
        return OutputTable.from_columns(columns, provenance)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
