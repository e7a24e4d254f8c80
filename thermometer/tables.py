"""The output table: what a language model said about questions.

Features and scores are separate products, each with its own provenance; `OutputTable.join` puts
them together by question id.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thermometer import _checks, table_files

_SCORES = ("scores", "reference_scores")
_SOURCES = ("features", *_SCORES)
_COLUMNS = ("tasks", "labels", *_SOURCES, "option_mass", "hashes")


@dataclass(frozen=True, eq=False)
class OutputTable:
    """N questions with what was measured on them, rows in a fixed order.

    Args:
        ids: (N,) unique question ids.
        tasks: (N,) task names.
        labels: (N,) int64 index of the right option; -1 where unknown.
        scores: (N, K) float64 unnormalised option scores, ``-inf`` to the right of a row with fewer
            than K options; or `None`.
        features: (N, D) float32, or `None`.
        option_mass: (N,) float32 probability of all options together, or `None`.
        reference_scores: (N, K) float64 scores of the same options by another language model, the
            reference model, or `None`.
        provenance: What made `features`, `scores` and `reference_scores`: a dict with these keys,
            each with the dict that `LanguageModel.provenance` returns, or anything that identifies
            the source.
        hashes: (N, 32) uint8, SHA-256 of each question's text and label, or `None` if unknown;
            tables of different questions do not join.

    Raises:
        ValueError: For repeated ids, shapes that disagree, NaN or infinite values, labels out of
            range, or scores that are probabilities. The message names the row.
        TypeError: For labels that are no integers.

    Example:
        >>> scores = [[2.0, 0.0], [1.0, 3.0]]
        >>> table = OutputTable.from_arrays(["a", "b"], ["t", "t"], [0, 1], scores)
        >>> len(table), table.task_names
        (2, ('t',))
    """

    ids: tuple[str, ...]
    tasks: NDArray[np.str_]
    labels: NDArray[np.int64]
    scores: NDArray[np.float64] | None = None
    features: NDArray[np.float32] | None = None
    option_mass: NDArray[np.float32] | None = None
    reference_scores: NDArray[np.float64] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    hashes: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        size = len(self.ids)
        if not size:
            raise _checks.fail("ids", "at least one id", "none")
        if len(set(self.ids)) < size:
            repeated, times = Counter(self.ids).most_common(1)[0]
            raise _checks.fail("ids", "unique", f"{repeated!r} {times} times")
        for name in _COLUMNS:
            values = getattr(self, name)
            if values is not None and len(values) != size:
                raise _checks.fail(name, f"of length {size} (as `ids`)", f"length {len(values)}")
        if self.features is not None:
            features = _checks.array("features", self.features, np.float32)
            object.__setattr__(self, "features", features)
            if features.ndim != 2:
                shape = f"shape {self.features.shape}"
                raise _checks.fail("features", "a matrix of shape (N, D)", shape)
            bad = ~np.isfinite(self.features).all(axis=1)
            self._refuse("features", bad, "finite", self.features)
        object.__setattr__(self, "labels", _checks.indices("labels", self.labels))
        self._refuse("labels", self.labels < -1, "-1 or an index of an option", self.labels)
        for name in _SCORES:
            if (values := getattr(self, name)) is not None:
                scores = _checks.array(name, values, np.float64)
                bad = np.isnan(scores) | np.isposinf(scores)
                self._refuse(name, bad.any(axis=-1), "finite", np.where(bad, scores, 0))
                object.__setattr__(self, name, _checks.score_matrix(name, scores))
        if self.scores is not None:
            n_options = self.n_options
            self._refuse("labels", self.labels >= n_options, "an index of an option", self.labels)
            if self.reference_scores is not None:
                both = _widened([self.scores, self.reference_scores])
                _checks.same_options(*both)
                for name, values in zip(_SCORES, both, strict=True):
                    object.__setattr__(self, name, values)

    def _refuse(self, name: str, bad: ArrayLike, expected: str, values: NDArray[Any]) -> None:
        """Raise `ValueError` naming the question of the first bad row, if there is one."""
        if np.any(bad):
            row = int(np.flatnonzero(bad)[0])
            cells = np.atleast_1d(values[row])
            cell = cells[0] if np.isfinite(cells).all() else cells[~np.isfinite(cells)][0]
            raise _checks.fail(name, expected, f"{cell} for question {self.ids[row]}")

    @classmethod
    def from_arrays(
        cls,
        ids: Iterable[str],
        tasks: Iterable[str],
        labels: ArrayLike | None = None,
        scores: ArrayLike | None = None,
        features: ArrayLike | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> "OutputTable":
        """A table from plain arrays, such as scores that an API or another program recorded."""
        identifiers = _checks.strings("ids", ids)
        columns = {
            "id": identifiers,
            "task": _checks.strings("tasks", tasks),
            "label": np.full(len(identifiers), -1) if labels is None else labels,
            "scores": scores,
            "features": features,
        }
        return cls.from_columns(columns, dict(provenance or {}))

    @classmethod
    def open(cls, folder: str | Path) -> "OutputTable":
        """Read a finished table.

        Raises:
            FileNotFoundError: If the folder has no manifest: it is unfinished, or no table.
            ValueError: If a part is missing, damaged or at odds with the manifest, or a newer
                version wrote it. The message names the file.
        """
        manifest, columns = table_files.read_table(Path(folder))
        return cls.from_columns(columns, manifest["provenance"])

    @classmethod
    def from_columns(
        cls, columns: Mapping[str, Any], provenance: Mapping[str, Any]
    ) -> "OutputTable":
        """A table of the columns that `table_files` reads, whose tasks have scores of one kind."""
        table = cls(
            tuple(columns["id"]),
            np.array(columns["task"]),
            columns["label"],
            columns.get("scores"),
            columns.get("features"),
            columns.get("option_mass"),
            provenance=provenance,
            hashes=columns.get("hashes"),
        )
        names, index = np.unique(table.tasks, return_inverse=True)
        if table.scores is not None and len(names) > 1:  # a task may be of another kind
            parts = np.split(np.argsort(index, kind="stable"), np.cumsum(np.bincount(index))[:-1])
            for task, rows in zip(names, parts, strict=True):
                _checks.unnormalised("scores", table.scores[rows], f" (task {task})")
        return table

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        width = None if self.features is None else self.features.shape[1]
        second = "" if self.reference_scores is None else "reference_scores=True, "
        return (
            f"OutputTable(questions={len(self)}, tasks={len(self.task_names)}, features={width}, "
            f"scores={self.scores is not None}, {second}labelled={self.labelled})"
        )

    @property
    def n_options(self) -> NDArray[np.int64]:
        """(N,) number of options of each question."""
        counts: NDArray[np.int64] = np.isfinite(self.require("scores")).sum(axis=1)
        return counts

    @property
    def digest(self) -> str:
        """Hash of the questions' texts and labels, whatever their order; empty if unknown."""
        return "" if self.hashes is None else table_files.digest_of(self.hashes)

    @property
    def labelled(self) -> bool:
        """Whether every row has a label."""
        return bool((self.labels >= 0).all())

    @property
    def task_names(self) -> tuple[str, ...]:
        """The tasks, sorted."""
        return tuple(map(str, np.unique(self.tasks)))

    def require(self, name: str) -> NDArray[Any]:
        """The column `name`, or a `ValueError` if this table does not have it."""
        values: NDArray[Any] | None = getattr(self, name)
        if values is None:
            raise ValueError(f"Expected a table with {name}, but got {self}")
        return values

    @classmethod
    def concatenate(cls, tables: "Sequence[OutputTable]") -> "OutputTable":
        """One table of the rows of several, in order.

        Raises:
            ValueError: If there are none, ids are repeated, their provenance differs, or some have
                features or scores that others lack.
        """
        if not tables:
            raise _checks.fail("tables", "at least one table", "none")
        first = tables[0]
        if len(tables) == 1:
            return first
        for other in tables[1:]:
            if other.provenance != first.provenance:
                raise _checks.fail("tables", "of one provenance", f"{first} and {other}")
            pairs = ((getattr(first, name), getattr(other, name)) for name in _SOURCES)
            if any((a is None) != (b is None) for a, b in pairs):
                raise _checks.fail("tables", "with the same columns", f"{first} and {other}")

        def stacked(name: str) -> Any:
            values = [getattr(table, name) for table in tables]
            if any(value is None for value in values):
                return None
            return np.concatenate(_widened(values) if name in _SCORES else values)

        ids = tuple(identifier for table in tables for identifier in table.ids)
        return replace(first, ids=ids, **{name: stacked(name) for name in _COLUMNS})

    def select(self, rows: ArrayLike) -> "OutputTable":
        """The table of some rows, given as a mask or as indices."""
        chosen = np.asarray(rows)
        index = np.arange(len(self))[chosen if chosen.size else chosen.astype(np.int64)]
        columns = {name: getattr(self, name) for name in _COLUMNS}
        of_rows: dict[str, Any] = {k: None if v is None else v[index] for k, v in columns.items()}
        return replace(self, ids=tuple(self.ids[i] for i in index), **of_rows)

    def of_tasks(self, names: Iterable[str]) -> "OutputTable":
        """The rows of some tasks; an unknown name raises."""
        wanted = _checks.strings("names", names)
        if unknown := sorted(set(wanted) - set(self.task_names)):
            raise _checks.fail("names", "tasks of the table", repr(unknown))
        return self.select(np.isin(self.tasks, wanted))

    def join(self, scores: "OutputTable") -> "OutputTable":
        """This table's features with another table's scores, matched by question id.

        Reference scores are kept, whichever of the two has them.

        Raises:
            ValueError: If one has questions that the other has not, or the questions' texts or
                labels differ. The message names some.
        """
        other = self._same_questions(scores)
        second = self if other.reference_scores is None else other
        source = {"features": self, "scores": other}
        if second.reference_scores is not None:
            source["reference_scores"] = second
        found: dict[str, Any] = {name: table.require(name) for name, table in source.items()}
        provenance = {name: table.provenance.get(name) for name, table in source.items()}
        return replace(self, **found, option_mass=other.option_mass, provenance=provenance)

    def with_reference(self, table: "OutputTable") -> "OutputTable":
        """This table with another's scores as `reference_scores`, matched as by `join`.

        Args:
            table: Scores of the reference model: the small one, or the one that the answering model
                was tuned from.

        Raises:
            ValueError: As `join`, and if the two score different numbers of options.

        Example:
            >>> ids, tasks = ["a", "b"], ["t", "t"]
            >>> chat = OutputTable.from_arrays(ids, tasks, [0, 1], [[8.0, 0.0], [0.0, 9.0]])
            >>> base = OutputTable.from_arrays(ids, tasks, [0, 1], [[1.0, 0.0], [2.0, 1.0]])
            >>> chat.with_reference(base).reference_scores[1]
            array([2., 1.])
        """
        other = self._same_questions(table)
        provenance = {**self.provenance, "reference_scores": table.provenance.get("scores")}
        return replace(self, reference_scores=other.require("scores"), provenance=provenance)

    def _same_questions(self, table: "OutputTable") -> "OutputTable":
        """Another table, rows in the order of this one."""
        _checks.instance("table", table, OutputTable, "`OutputTable.from_arrays` makes one")
        if differing := sorted(set(self.ids) ^ set(table.ids)):
            raise ValueError(
                f"Expected tables of the same questions, but {len(differing)} are in one only: "
                f"{', '.join(differing[:3])}"
            )
        place = {identifier: row for row, identifier in enumerate(table.ids)}
        other = table.select([place[identifier] for identifier in self.ids])
        changed = np.flatnonzero((other.labels != self.labels) | (other.tasks != self.tasks))
        if len(changed):
            raise ValueError(f"Expected equal tasks and labels, but {self.ids[changed[0]]} differs")
        if self.hashes is not None and other.hashes is not None:
            changed = np.flatnonzero((self.hashes != other.hashes).any(axis=1))
            if len(changed):
                got = f"the texts of {len(changed)} differ, first {self.ids[changed[0]]}"
                raise ValueError(f"Expected tables of the same questions, but {got}")
        return other


def _widened(matrices: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Scores with ``-inf`` to the right, so that all have as many columns as the widest."""
    width = max(scores.shape[1] for scores in matrices)
    pads = [((0, 0), (0, width - scores.shape[1])) for scores in matrices]
    both = zip(matrices, pads, strict=True)
    return [np.pad(scores, pad, constant_values=-np.inf) for scores, pad in both]
