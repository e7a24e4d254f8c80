"""What methods say of tasks that they did not see, split by split.

The rows of all splits are put together again, each predicted by methods fitted on other tasks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thermometer import _checks
from thermometer.methods import Fit, FittedMethods, Vector, check_methods
from thermometer.outcomes import Predicted
from thermometer.progress import Bar
from thermometer.protocols import Protocol
from thermometer.tables import OutputTable


@dataclass(frozen=True, eq=False)
class HeldOut:
    """N tested rows with what every method says of them.

    Args:
        table: The rows, with labels, sorted by split.
        methods: By name, (N,) temperatures or `Predicted`.
        fold: (N,) number of the split that tested each row.
    """

    table: OutputTable
    methods: dict[str, Vector | Predicted]
    fold: NDArray[np.int64]


def hold_out(
    table: OutputTable,
    methods: Sequence[str],
    protocol: Protocol,
    fit: Fit | None = None,
    *,
    progress: bool = True,
) -> HeldOut:
    """Fit methods on some tasks, and apply them to the others: cross-validation over tasks.

    Args:
        table: Labelled rows with scores (and features, if a thermometer is asked for).
        methods: Of `methods.METHODS`.
        protocol: How tasks are left out.
        fit: Trains a thermometer on labelled rows.
        progress: Show a progress bar over the splits.

    Raises:
        ValueError: If a row has no label, or the table lacks what a method needs.

    Example:
        >>> scores, labels = [[2.0, 0.0], [0.0, 1.0]] * 2, [0, 1, 1, 1]
        >>> tasks = ["law", "law", "art", "art"]
        >>> table = OutputTable.from_arrays(list("abcd"), tasks, labels, scores)
        >>> held = hold_out(table, ["vanilla"], Protocol(leave_one_out=True), progress=False)
        >>> held.table.ids, held.fold.tolist(), sorted(held.methods)
        (('c', 'd', 'a', 'b'), [0, 0, 1, 1], ['pooled', 'vanilla'])
    """
    names = check_methods(methods)
    check_labelled("table", table)
    parts: list[tuple[OutputTable, dict[str, Vector | Predicted]]] = []
    splits = protocol.splits(table.task_names)
    description = f"{len(splits)} {'split' if len(splits) == 1 else 'folds'}"
    with Bar(description, len(splits), shown=progress, kept=False) as bar:
        for number, split in enumerate(splits, start=1):
            fitted = FittedMethods(names, table.of_tasks(split.train), fit)
            rows = table.of_tasks(split.test)
            parts.append((rows, fitted.predict(rows)))
            bar.show(number)
    return _together(parts, names)


def check_labelled(name: str, table: OutputTable) -> None:
    """Raise unless every row of a table has scores and a label."""
    _checks.instance(name, table, OutputTable, "of one answering model")
    table.require("scores")
    if not table.labelled:
        row = int(np.flatnonzero(table.labels < 0)[0])
        raise _checks.fail(
            name,
            "labelled in every row",
            f"{int((table.labels < 0).sum())} of {len(table)} rows without, first {table.ids[row]}",
        )


def _together(
    parts: Sequence[tuple[OutputTable, dict[str, Vector | Predicted]]], names: Sequence[str]
) -> HeldOut:
    methods: dict[str, Vector | Predicted] = {}
    for name in names:
        values = [found[name] for _, found in parts]
        if isinstance(values[0], Predicted):
            methods[name] = Predicted(
                *(np.concatenate(columns) for columns in zip(*values, strict=True))
            )
        else:
            methods[name] = np.concatenate(values)
    fold = np.concatenate([np.full(len(rows), i) for i, (rows, _) in enumerate(parts)])
    return HeldOut(OutputTable.concatenate([rows for rows, _ in parts]), methods, fold)
