"""What questions say of themselves: columns by which the answers to them can be told apart."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from thermometer import _checks
from thermometer.protocols import benchmark_of
from thermometer.scaling import scale_scores
from thermometer.table_files import QUESTIONS
from thermometer.tables import OutputTable

_KEPT = ("topic", "subject", "category", "language", "split")  # if questions have them


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
        columns["words"] = [_n_words(row) for row in rows]
        for name in _KEPT:
            columns[name] = [row.get(name) for row in rows]
    found = {k: values for k, values in columns.items() if len(set(map(str, values))) > 1}
    if found.get("benchmark") == found.get("task"):
        found.pop("benchmark", None)
    return found


def read_questions(folder: str | Path) -> list[dict[str, Any]]:
    """The questions of an output table; `OutputTable.open` checks that they are its own."""
    text = (Path(folder) / QUESTIONS).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n") if line.strip()]


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


def _n_words(row: Mapping[str, Any]) -> int:
    return len(f"{row.get('context') or ''} {row.get('question') or ''}".split())
