"""An output table from batches of rows that anything has computed: Ray, vLLM, an API client.

Each row is a question as in the JSON lines format and what was measured on it. Nothing here runs a
model; docs/formats.md describes what is written.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from thermometer import _checks, _files, table_files
from thermometer.tables import OutputTable


def write_table(
    batches: Iterable[Mapping[str, Any]],
    out_dir: str | Path,
    *,
    provenance: Mapping[str, Any] | None = None,
    order: Sequence[str] | None = None,
) -> OutputTable:
    """Write rows as an output table, which is there as a whole or not at all.

    Args:
        batches: Batches of rows as columns, one Parquet part each. `id`, `task`, `question`,
            `choices` and, where there are any, `answer` (-1, NaN or `None` where unknown) and
            `context`; `features` (B, D) or `scores` (B, K), ``-inf`` or nothing to the right of
            short rows, or both; with scores `option_mass` (B,); and, if known, `n_prompt_tokens`.
            A column `provenance` of JSON texts, the same in all rows, stands for the argument.
        out_dir: Folder of the table; must not hold anything yet.
        provenance: What made the `features` and the `scores`; see `OutputTable`.
        order: Ids of all questions as they should be listed; by default as they come.

    Returns:
        The table, read back from the folder.

    Raises:
        ValueError: If there are no rows; if a question stands twice, is missing from `order` or is
            not in it; if provenance differs or there is none; or if numbers are not finite or do
            not fit the questions. The message names the question.

    Example:
        >>> from tempfile import mkdtemp
        >>> batch = {"id": ["a"], "task": ["sky"], "question": ["Blue?"], "choices": [["y", "n"]]}
        >>> batch |= {"scores": [[2.0, 0.5]], "option_mass": [0.9]}
        >>> write_table([batch], mkdtemp(), provenance={"scores": {"model": "an API"}})
        OutputTable(questions=1, tasks=1, features=None, scores=True, labelled=False)
    """
    out = Path(out_dir)
    if not _files.is_vacant(out):
        raise _checks.fail("out_dir", "a folder that holds nothing yet", str(out))
    texts = set() if provenance is None else {json.dumps(provenance)}
    rows: dict[str, dict[str, Any]] = {}
    parts: dict[str, int] = {}
    with _files.replaced_folder(out) as unfinished:
        for batch in batches:
            own = question_rows(batch)
            if not own:
                continue
            for row in own:
                if row["id"] in rows:
                    raise _checks.fail("batches", "each question once", f"{row['id']!r} twice")
                rows[row["id"]] = row
            if provenance is None:
                texts |= set(map(str, _column(batch, "provenance")))
            name = f"part-{len(parts):05d}.parquet"
            table_files.write_part(unfinished / name, _measured(batch, own))
            parts[name] = len(own)
        if not rows:
            raise _checks.fail("batches", "at least one row", "none")
        digest = table_files.write_questions(unfinished, _ordered(rows, order))
        table_files.finish(unfinished, parts, _made_by(texts), digest)
        return OutputTable.open(unfinished)  # refuses bad numbers before they take their place


def _column(batch: Mapping[str, Any], name: str) -> Any:
    if name not in batch:
        raise _checks.fail("batches", f"with a column {name!r}", f"{sorted(batch)}")
    return batch[name]


def question_rows(batch: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The questions of a batch of columns as rows of the JSON lines format, plain Python values."""
    ids, tasks, texts, choices = (
        _column(batch, name) for name in ("id", "task", "question", "choices")
    )
    nothing = [None] * len(ids)
    answers, contexts = batch.get("answer", nothing), batch.get("context", nothing)
    rows = []
    for number, identifier in enumerate(ids):
        row: dict[str, Any] = {
            "id": str(identifier),
            "task": str(tasks[number]),
            "question": str(texts[number]),
            "choices": [str(choice) for choice in choices[number]],
        }
        if isinstance(contexts[number], str):  # a gap may also be NaN
            row["context"] = str(contexts[number])
        if answers[number] is not None and answers[number] >= 0:  # NaN is not
            row["answer"] = int(answers[number])
        rows.append(row)
    return rows


def _measured(batch: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The columns of a part."""
    columns: dict[str, Any] = {
        "id": [row["id"] for row in rows],
        "task": [row["task"] for row in rows],
        "label": [row.get("answer") for row in rows],
        "n_prompt_tokens": batch.get("n_prompt_tokens", [None] * len(rows)),
        "option_mass": batch.get("option_mass"),
    }
    if batch.get("scores") is not None:
        columns["scores"] = [_without_padding(row) for row in batch["scores"]]
    if batch.get("features") is not None:
        features = np.stack([np.asarray(row) for row in batch["features"]])
        kept = features.dtype in (np.float16, np.float32)
        columns["features"] = features if kept else features.astype(np.float32)
    return columns


def _without_padding(scores: Any) -> list[float]:
    row = np.asarray(scores, dtype=np.float64)
    real = np.flatnonzero(~np.isneginf(row))
    return row[: real[-1] + 1 if len(real) else 0].tolist()  # type: ignore[no-any-return]


def _ordered(
    rows: Mapping[str, dict[str, Any]], order: Sequence[str] | None
) -> list[dict[str, Any]]:
    """All questions in the order that is wanted."""
    if order is None:
        return list(rows.values())
    wanted = _checks.strings("order", order)
    for expected, ids in (
        ("ids of questions that came", set(wanted) - set(rows)),
        ("the ids of all questions", set(rows) - set(wanted)),
    ):
        if ids:
            listed = f"{', '.join(sorted(ids)[:10])}{', …' * (len(ids) > 10)}"
            raise _checks.fail("order", expected, f"{len(ids)} others: {listed}")
    return [rows[identifier] for identifier in wanted]


def _made_by(texts: set[str]) -> dict[str, Any]:
    """The one provenance of all rows."""
    if len(texts) > 1:
        raise _checks.fail("provenance", "the same in all rows", " and ".join(sorted(texts)))
    found = _files.parse_json(texts.pop(), "provenance")
    if not isinstance(found, dict) or not set(found) <= {"features", "scores"}:
        raise _checks.fail("provenance", "of `features` and `scores`", repr(found))
    return {"features": None, "scores": None, **found}
