"""The files of an output table: questions, Parquet parts, and a manifest that is written last.

Every file appears under a temporary name and is then renamed, so a killed run leaves whole files or
none, and a folder without a manifest is unfinished. Nothing here knows what the numbers are for;
docs/formats.md describes the format for those who write it with other programs.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
QUESTIONS = "questions.jsonl"


def questions_digest(rows: Sequence[Mapping[str, Any]]) -> str:
    """Hash of questions given as rows of the JSON lines format, whatever their order."""
    hashes = sorted(hashlib.sha256(json.dumps(r, sort_keys=True).encode()).digest() for r in rows)
    return hashlib.sha256(b"".join(hashes)).hexdigest()[:16]


def write_part(path: Path, columns: Mapping[str, Any]) -> None:
    """Write one Parquet part atomically.

    Args:
        path: Of the part.
        columns: `id`, `task`, `label` (None where unknown), and any of `scores` (lists),
            `features` (an (N, D) float array), `option_mass`, `n_prompt_tokens`.
    """
    arrays: dict[str, pa.Array] = {
        "id": pa.array(columns["id"], pa.string()),
        "task": pa.array(columns["task"], pa.string()),
        "label": pa.array(columns["label"], pa.int64()),
        "n_prompt_tokens": pa.array(columns["n_prompt_tokens"], pa.int32()),
    }
    if columns.get("scores") is not None:
        arrays["scores"] = pa.array(columns["scores"], pa.list_(pa.float32()))
        arrays["option_mass"] = pa.array(columns["option_mass"], pa.float32())
    if columns.get("features") is not None:
        features = np.ascontiguousarray(columns["features"])
        arrays["features"] = pa.FixedSizeListArray.from_arrays(
            pa.array(features.reshape(-1)), features.shape[1]
        )
    temporary = _temporary(path)
    pq.write_table(pa.table(arrays), temporary, compression="zstd")
    os.replace(temporary, path)


def write_questions(folder: Path, rows: Sequence[Mapping[str, Any]]) -> str:
    """Write the questions of a table, in their order; returns their digest."""
    lines = (json.dumps(row, ensure_ascii=False) for row in rows)
    write_text(folder / QUESTIONS, "\n".join(lines) + "\n")
    return questions_digest(rows)


def write_manifest(
    folder: Path, parts: Mapping[str, int], provenance: Mapping[str, Any], digest: str
) -> None:
    """Declare a table finished.

    Args:
        folder: Of the table.
        parts: Rows of each part, by file name.
        provenance: Of its `features` and `scores`.
        digest: As `write_questions` returned it.
    """
    manifest = {
        "format_version": FORMAT_VERSION,
        "n_questions": sum(parts.values()),
        "digest": digest,
        "provenance": dict(provenance),
        "parts": dict(parts),
    }
    write_text(folder / MANIFEST, json.dumps(manifest, indent=2) + "\n")


def read_table(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The manifest and the columns of a finished table, rows in the order of its questions.

    Columns: `id` and `task` (lists), `label` (int64, -1 where unknown), and those of `scores`
    (float64, padded with ``-inf``), `features` and `option_mass` (float32) that there are.
    """
    manifest = read_manifest(folder)
    rows = _read_questions(folder / QUESTIONS)
    if questions_digest(rows) != manifest["digest"]:
        raise ValueError(f"{folder / QUESTIONS}: not the questions that the manifest was made for")
    data = pa.concat_tables(read_part(folder / name, n) for name, n in manifest["parts"].items())
    place = {identifier: row for row, identifier in enumerate(data["id"].to_pylist())}
    wanted = [row["id"] for row in rows]
    if missing := sorted(set(wanted) ^ set(place)) or len(wanted) != data.num_rows:
        raise ValueError(f"{folder}: parts and {QUESTIONS} hold different questions: {missing}")
    data = data.take(pa.array([place[identifier] for identifier in wanted]))
    columns: dict[str, Any] = {
        "id": wanted,
        "task": data["task"].to_pylist(),
        "label": data["label"].fill_null(-1).to_numpy().astype(np.int64),
    }
    if "scores" in data.column_names:
        columns["scores"] = _ragged(data["scores"])
        columns["option_mass"] = data["option_mass"].to_numpy()
    if "features" in data.column_names:
        columns["features"] = _fixed(data["features"])
    return manifest, columns


def _read_questions(file: Path) -> list[dict[str, Any]]:
    if not file.is_file():
        raise ValueError(f"{file}: missing")
    with file.open(encoding="utf-8") as lines:
        try:
            return [json.loads(line) for line in lines]
        except json.JSONDecodeError as error:
            raise ValueError(f"{file}: not JSON lines ({error})") from error


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    temporary = _temporary(path)
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a finished table; see `OutputTable.open` for the errors."""
    file = folder / MANIFEST
    if not file.is_file():
        raise FileNotFoundError(
            f"No manifest in {folder}: not an output table, or an extraction that was cut short "
            "(run the same command again to finish it)"
        )
    try:
        manifest: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{file}: not JSON ({error})") from error
    version = manifest.get("format_version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise ValueError(
            f"{file}: format_version {version} was written by a newer thermometer than this one, "
            f"which reads up to {FORMAT_VERSION}; upgrade it"
        )
    for key in ("parts", "provenance", "digest"):
        if key not in manifest:
            raise ValueError(f"{file}: the key {key!r} is missing")
    for name in manifest["parts"]:
        if Path(name).name != name:
            raise ValueError(f"{file}: a part outside the folder: {name!r}")
    return manifest


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def read_part(file: Path, rows: int) -> pa.Table:
    """One part, which must have so many rows."""
    if not file.is_file():
        raise ValueError(f"{file}: the manifest names this part, but it is missing")
    try:
        part = pq.read_table(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{file}: damaged or truncated Parquet part ({error})") from error
    if part.num_rows != rows:
        raise ValueError(f"{file}: expected {rows} rows, but got {part.num_rows}")
    return part


def _ragged(column: pa.ChunkedArray) -> NDArray[np.float64]:
    lists = column.combine_chunks()
    lengths = lists.value_lengths().to_numpy()
    scores = np.full((len(lists), int(lengths.max())), -np.inf)
    scores[np.arange(scores.shape[1]) < lengths[:, None]] = lists.flatten().to_numpy()
    return scores


def _fixed(column: pa.ChunkedArray) -> NDArray[np.float32]:
    lists = column.combine_chunks()
    values: NDArray[np.float32] = lists.flatten().to_numpy().astype(np.float32, copy=False)
    return values.reshape(len(lists), -1)
