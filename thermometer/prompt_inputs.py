"""What was handed to a calibrator: prompts or scores or both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thermometer import _checks
from thermometer.tables import OutputTable
from thermometer.templates import Prompt, Template
from thermometer.types import Task

Prompts = Task | OutputTable | Sequence[str]


@dataclass(frozen=True, eq=False)
class PromptInputs:
    """Prompts and scores, checked.

    Args:
        prompts: A task, a table, complete prompts; or `None` where scores say all.
        given_scores: (N, K) of the answering model; by default those of a table, if it has any.
        made: Provenance of the given scores, if known.
        given_reference: (N, K) of the reference model; by default those of a table, if it has any.

    Raises:
        TypeError: If the prompts are one string.
        ValueError: If there are neither prompts nor scores, or their numbers differ.

    Example:
        >>> PromptInputs(["Is it so?", "Why?"]).ids
        ('prompt 1', 'prompt 2')
        >>> PromptInputs(None, [[1.0, 0.0]]).ids
        ('row 1',)
    """

    prompts: Prompts | None
    given_scores: ArrayLike | None = None
    made: Mapping[str, Any] | None = None
    given_reference: ArrayLike | None = None

    def __post_init__(self) -> None:
        if self.prompts is None and self.given_scores is None:
            raise _checks.fail("prompts", "given, since there are no `scores`", "None")
        _ = self.scores, self.reference_scores

    def __len__(self) -> int:
        if self.prompts is None:
            assert self.scores is not None
            return len(self.scores)
        if isinstance(self.prompts, Task | OutputTable):
            return len(self.prompts)
        return len(_checks.strings("prompts", self.prompts))

    @property
    def table(self) -> OutputTable | None:
        """The prompts, if they are those of a table."""
        return self.prompts if isinstance(self.prompts, OutputTable) else None

    @cached_property
    def scores(self) -> NDArray[np.float64] | None:
        """(N, K) those given, or those of the table, or `None`."""
        return self._matrix("scores", self.given_scores)

    @cached_property
    def reference_scores(self) -> NDArray[np.float64] | None:
        """(N, K) likewise of the reference model."""
        return self._matrix("reference_scores", self.given_reference)

    def _matrix(self, name: str, given: ArrayLike | None) -> NDArray[np.float64] | None:
        if given is None and self.table is not None:
            given = getattr(self.table, name)
        if given is None:
            return None
        matrix = _checks.score_matrix(name, given)
        if self.prompts is not None and len(matrix) != len(self):
            raise _checks.fail(name, f"of length {len(self)} (as `prompts`)", len(matrix))
        return matrix

    @property
    def answered_by(self) -> Mapping[str, Any] | None:
        """Provenance of the scores: as given, or that of the table where they are its own."""
        if self.made is None and self.given_scores is None and self.table is not None:
            return self.table.provenance.get("scores")
        return self.made

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of a table or task; plain strings and rows are numbered."""
        if self.table is not None:
            return self.table.ids
        if isinstance(self.prompts, Task):
            return tuple(question.id for question in self.prompts.questions)
        kind = "row" if self.prompts is None else "prompt"
        return tuple(f"{kind} {number}" for number in range(1, len(self) + 1))

    @property
    def groups(self) -> NDArray[np.int64]:
        """(N,) the task of each prompt, from 0: by name in a table, one for all otherwise."""
        if self.table is not None:
            return np.unique(self.table.tasks, return_inverse=True)[1].astype(np.int64)
        return np.zeros(len(self), dtype=np.int64)

    def rendered(self, template: Template) -> list[Prompt]:
        """A task by the template; strings are complete prompts already."""
        if isinstance(self.prompts, Task):
            return template.render_task(self.prompts)
        if self.prompts is None or isinstance(self.prompts, OutputTable):
            raise _checks.fail("prompts", "a task or texts", type(self.prompts).__name__)
        return [
            Prompt(identifier, text, chat=template.chat)
            for identifier, text in zip(self.ids, self.prompts, strict=True)
        ]
