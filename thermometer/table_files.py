"""The files of an output table: questions, Parquet parts, and a manifest that is written last.

Every file appears under a temporary name and is then renamed, so a killed run leaves whole files or
none, and a folder without a manifest is unfinished. docs/formats.md describes the format for those
who write it with other programs.
"""

import hashlib
import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from thermometer import _files

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
QUESTIONS = "questions.jsonl"
_LARGEST = 1 << 40  # bytes of a part, or of the questions, that are read at most
_WRITTEN = {
    "id": pa.string(),
    "task": pa.string(),
    "label": pa.int64(),
    "n_prompt_tokens": pa.int32(),
    "scores": pa.list_(pa.float32()),
    "option_mass": pa.float32(),
}
_READ = {**_WRITTEN, "scores": pa.list_(pa.float64())}
del _READ["n_prompt_tokens"]  # nobody reads it


def question_hashes(rows: Iterable[Mapping[str, Any]]) -> NDArray[np.uint8]:
    """(N, 32) SHA-256 of questions given as rows of the JSON lines format."""
    texts = (json.dumps(row, sort_keys=True).encode() for row in rows)
    hashes = b"".join(hashlib.sha256(text).digest() for text in texts)
    return np.frombuffer(hashes, np.uint8).reshape(-1, 32)


def digest_of(hashes: NDArray[np.uint8]) -> str:
    """One hash of the (N, 32) hashes of questions, whatever their order."""
    return hashlib.sha256(b"".join(sorted(row.tobytes() for row in hashes))).hexdigest()[:16]


def questions_digest(rows: Sequence[Mapping[str, Any]]) -> str:
    """Hash of questions given as rows of the JSON lines format, whatever their order."""
    return digest_of(question_hashes(rows))


def write_part(path: Path, columns: Mapping[str, Any]) -> None:
    """Write one Parquet part atomically.

    Args:
        path: Of the part.
        columns: `id`, `task`, `label` (None where unknown), and any of `scores` (lists),
            `features` (an (N, D) float array), `option_mass`, `n_prompt_tokens` (or `None`s).
    """
    arrays: dict[str, pa.Array] = {
        name: pa.array(columns[name], kind)
        for name, kind in _WRITTEN.items()
        if columns.get(name) is not None
    }
    if columns.get("features") is not None:
        features = np.ascontiguousarray(columns["features"])
        arrays["features"] = pa.FixedSizeListArray.from_arrays(
            pa.array(features.reshape(-1)), features.shape[1]
        )
    with _files.whole_file(path) as unfinished:
        pq.write_table(pa.table(arrays), unfinished, compression="zstd")


def warn_of_ties(tasks: NDArray[np.str_], scores: NDArray[np.float64] | None) -> None:
    """Say in which tasks every row has one score for all of its options, and so says nothing."""
    if scores is None:
        return
    tied = np.isneginf(scores) | (scores == scores[:, :1])
    names, group = np.unique(tasks, return_inverse=True)
    alike = np.bincount(group, tied.all(axis=1)) == (sizes := np.bincount(group))
    if found := names[alike & (sizes > 1)].tolist():
        warnings.warn(
            f"In all rows of {', '.join(found[:3])}{', …' * (len(found) > 3)} the options have the "
            "same score, which says nothing of the answers. Look at what computed them",
            stacklevel=3,
        )


def write_questions(folder: Path, rows: Sequence[Mapping[str, Any]]) -> str:
    """Write the questions of a table, in their order; returns their digest."""
    lines = (json.dumps(row, ensure_ascii=False) for row in rows)
    _files.write_text(folder / QUESTIONS, "\n".join(lines) + "\n")
    return questions_digest(rows)


def finish(
    folder: Path, parts: Mapping[str, int], provenance: Mapping[str, Any], digest: str
) -> None:
    """Declare a table finished: write its manifest, and take away what killed runs left behind.

    Args:
        folder: Of the table.
        parts: Rows of each part, by file name.
        provenance: Of its `features` and `scores`.
        digest: As `write_questions` returned it.

    Raises:
        RuntimeError: If a part is missing.
    """
    if missing := [name for name in parts if not (folder / name).is_file()]:
        raise RuntimeError(
            f"{folder} is not finished: {len(missing)} of {len(parts)} parts were not written, "
            f"the first of them {missing[0]}"
        )
    _files.sweep(folder)
    manifest = {
        "format_version": FORMAT_VERSION,
        "n_questions": sum(parts.values()),
        "digest": digest,
        "provenance": dict(provenance),
        "parts": dict(parts),
    }
    _files.write_text(folder / MANIFEST, json.dumps(manifest, indent=2) + "\n")


def read_table(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The manifest and the columns of a finished table, rows in the order of its questions.

    Columns: `id` and `task` (lists), `label` (int64, -1 where unknown), and those of `scores`
    (float64, padded with ``-inf``), `features` and `option_mass` (float32) that there are; and
    `hashes`, those of the questions.
    """
    manifest, rows, hashes = read_declared(folder)
    parts = [read_part(folder / name, n) for name, n in manifest["parts"].items()]
    try:
        data = pa.concat_tables(parts)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{folder}: expected parts with the same columns ({error})") from error
    data = data.take(pa.array(_places(folder, data["id"].to_pylist(), [r["id"] for r in rows])))
    columns = columns_of(data)
    check_rows(folder, rows, columns)
    return manifest, {**columns, "hashes": hashes}


def read_declared(
    folder: Path,
) -> tuple[dict[str, Any], list[dict[str, Any]], NDArray[np.uint8]]:
    """The manifest of a finished table, its questions, which belong to it, and their hashes."""
    manifest = read_manifest(folder)
    rows = read_questions(folder / QUESTIONS)
    if digest_of(hashes := question_hashes(rows)) != manifest["digest"]:
        raise ValueError(f"{folder / QUESTIONS}: not the questions that the manifest was made for")
    return manifest, rows, hashes


def columns_of(data: pa.Table) -> dict[str, Any]:
    """The columns of checked parts as `read_table` gives them."""
    columns: dict[str, Any] = {
        "id": data["id"].to_pylist(),
        "task": data["task"].to_pylist(),
        "label": data["label"].fill_null(-1).to_numpy().astype(np.int64),
    }
    if "scores" in data.column_names:
        columns["scores"] = ragged(data["scores"])
    if "option_mass" in data.column_names:
        columns["option_mass"] = data["option_mass"].to_numpy()
    if "features" in data.column_names:
        lists = data["features"].combine_chunks()
        values = lists.flatten().to_numpy().astype(np.float32, copy=False)
        columns["features"] = values.reshape(len(lists), -1)
    return columns


def _places(folder: Path, found: list[str], wanted: list[str]) -> list[int]:
    """Row of each wanted id; both lists must hold the same ids, each once."""
    place = {identifier: row for row, identifier in enumerate(found)}
    if len(place) < len(found):
        repeated = next(i for row, i in enumerate(found) if place[i] != row)
        got = f"the parts hold question {repeated!r} twice"
        raise ValueError(f"{folder}: expected each question once, but {got}")
    if differing := sorted(set(wanted) ^ set(place)):
        raise ValueError(
            f"{folder}: {len(differing)} questions are only in the parts or only in {QUESTIONS}: "
            f"{', '.join(differing[:3])}"
        )
    if len(wanted) > len(place):
        raise ValueError(f"{folder / QUESTIONS}: a question stands twice")
    return [place[identifier] for identifier in wanted]


def check_rows(folder: Path, rows: Sequence[Mapping[str, Any]], columns: Mapping[str, Any]) -> None:
    """The parts must say of each question what the list of questions says of it."""
    scores = columns.get("scores")
    sizes = None if scores is None else (~np.isneginf(scores)).sum(axis=1)
    for row, question in enumerate(rows):
        pairs = [
            ("task", columns["task"][row], question.get("task")),
            ("label", int(columns["label"][row]), question.get("answer", -1)),
        ]
        if sizes is not None and "choices" in question:
            pairs.append(("number of scores", int(sizes[row]), len(question["choices"])))
        for name, got, expected in pairs:
            if got != expected:
                raise ValueError(
                    f"{folder}: expected the {name} of question {question['id']} to be "
                    f"{expected!r}, as in {QUESTIONS}, but got {got!r}"
                )


def read_questions(file: Path) -> list[dict[str, Any]]:
    """The rows of a table's list of questions; errors name file and line."""
    if not file.is_file():
        raise ValueError(f"{file}: missing")
    rows = []
    for number, row in _files.read_lines(_files.own_file(file, _LARGEST)):
        if not isinstance(row.get("id"), str):
            raise ValueError(f"{file}, line {number}: not an object with an `id`")
        rows.append(row)
    return rows


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a finished table; see `OutputTable.open` for the errors."""
    file = folder / MANIFEST
    if not file.is_file():
        raise FileNotFoundError(
            f"No manifest in {folder}: not an output table, or an extraction that was cut short "
            "(run the same command again to finish it)"
        )
    manifest = _files.read_json(_files.own_file(file))
    version = manifest.get("format_version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise ValueError(
            f"{file}: format_version {version} was written by a newer thermometer than this one, "
            f"which reads up to {FORMAT_VERSION}; upgrade it"
        )
    for key, kind in (("parts", dict), ("provenance", dict), ("digest", str)):
        if key not in manifest:
            raise ValueError(f"{file}: the key {key!r} is missing")
        if not isinstance(manifest[key], kind):
            raise ValueError(f"{file}: expected {key} to be {kind.__name__}, got {manifest[key]!r}")
    if not manifest["parts"]:
        raise ValueError(f"{file}: no parts")
    for name in manifest["parts"]:
        if Path(name).name != name or name.startswith("."):
            raise ValueError(f"{file}: a part outside the folder: {name!r}")
    return manifest


def read_part(file: Path, rows: int) -> pa.Table:
    """One part, which must have so many rows."""
    if not file.is_file():
        raise ValueError(f"{file}: the manifest names this part, but it is missing")
    try:
        part = pq.read_table(_files.own_file(file, _LARGEST))
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{file}: damaged or truncated Parquet part ({error})") from error
    if part.num_rows != rows:
        raise ValueError(f"{file}: expected {rows} rows, but got {part.num_rows}")
    return typed(file, intact(file, part))


def intact(file: Path, part: pa.Table) -> pa.Table:
    """The same rows, if they are what they say; Parquet promises UTF-8 and does not look."""
    try:
        part.validate(full=True)
        _ = part.column_names
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: damaged ({error})") from error
    return part


def typed(file: Path, part: pa.Table) -> pa.Table:
    """Intact rows with their columns in the types of the format; errors name the file."""
    if missing := [name for name in ("id", "task", "label") if name not in part.column_names]:
        found = ", ".join(part.column_names)
        raise ValueError(f"{file}: no column {' or '.join(map(repr, missing))} (there are {found})")
    for name in ("id", "task", "scores", "features", "option_mass"):
        if name in part.column_names and part[name].null_count:
            raise ValueError(f"{file}: the column {name!r} has empty cells")
    if "features" in part.column_names:
        kind = part["features"].type
        if not (pa.types.is_fixed_size_list(kind) and pa.types.is_floating(kind.value_type)):
            expected = "features of type fixed_size_list<float>"
            raise ValueError(f"{file}: expected {expected}, but got {kind}")
        if any(chunk.flatten().null_count for chunk in part["features"].chunks):
            raise ValueError(f"{file}: the column 'features' has empty cells")
    for name in _READ:
        if name in part.column_names:
            try:
                column = as_type(name, part[name])
            except ValueError as error:
                raise ValueError(f"{file}: {error}") from error
            part = part.set_column(part.column_names.index(name), name, column)
    return part


def as_type(name: str, column: pa.ChunkedArray, like: str | None = None) -> pa.ChunkedArray:
    """A column in its type of the format, or in that of the column `like`.

    Arrow alone would make the number 1 of the truth value true and of the text "1".
    """
    wanted, kind = _READ[like or name], column.type
    inner = getattr(kind, "value_type", kind)  # of lists and dictionaries
    fits = is_number(inner)
    if pa.types.is_string(wanted):
        text = pa.types.is_string(inner) or pa.types.is_large_string(inner)
        fits = text or pa.types.is_integer(inner)
    try:
        if not fits or pa.types.is_nested(kind) != pa.types.is_list(wanted):
            raise pa.ArrowInvalid(f"it is of type {kind}")
        if pa.types.is_integer(wanted) and pa.types.is_floating(kind):  # whose gaps may be NaN
            column = pc.if_else(pc.is_nan(column), None, column)
        return column.cast(wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ValueError(f"expected {name} of type {wanted} ({error})") from error


def is_number(kind: pa.DataType) -> bool:
    """Whether a type is one of numbers, or of nothing but gaps."""
    real = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    return bool(real or pa.types.is_decimal(kind) or pa.types.is_null(kind))


def ragged(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """(N, K) scores of lists of the type of the format, ``-inf`` to the right of short rows."""
    lists = column.combine_chunks()
    lengths = lists.value_lengths().to_numpy()
    scores = np.full((len(lists), int(lengths.max())), -np.inf)
    values = lists.flatten().to_numpy(zero_copy_only=False)  # an empty cell becomes NaN
    # Only short rows are filled with -inf; a value must not look like the filling.
    scores[np.arange(scores.shape[1]) < lengths[:, None]] = np.where(
        values == -np.inf, np.nan, values
    )
    return scores
