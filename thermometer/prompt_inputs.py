"""What was handed to a calibrator, prompts or scores or both, and what its network reads of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from thermometer import _checks
from thermometer.tables import OutputTable, check_same_features
from thermometer.templates import Prompt, Template
from thermometer.types import Task

if TYPE_CHECKING:
    from thermometer.calibrator import Calibrator

Prompts = Task | OutputTable | Sequence[str]


@dataclass(frozen=True, eq=False)
class PromptInputs:
    """Prompts and scores, checked.

    Args:
        prompts: A task, a table, complete prompts; or `None` where scores say all.
        given_scores: (N, K) of the answering model; by default those of a table, if it has any.
        made: Provenance of the given scores, if known.

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

    def __post_init__(self) -> None:
        if self.prompts is None and self.given_scores is None:
            raise _checks.fail("prompts", "given, since there are no `scores`", "None")
        _ = self.scores

    def __len__(self) -> int:
        if self.prompts is None:
            assert self.scores is not None
            return len(self.scores)
        if isinstance(self.prompts, Task | OutputTable):
            return len(self.prompts)
        return len(_checks.strings("prompts", self.prompts))

    @cached_property
    def scores(self) -> NDArray[np.float64] | None:
        """(N, K) those given, or those of the table, or `None`."""
        scores = self.given_scores
        if scores is None and isinstance(self.prompts, OutputTable):
            scores = self.prompts.scores
        if scores is None:
            return None
        matrix = _checks.score_matrix("scores", scores)
        if self.prompts is not None and len(matrix) != len(self):
            raise _checks.fail("scores", f"of length {len(self)} (as `prompts`)", len(matrix))
        return matrix

    @property
    def answered_by(self) -> Mapping[str, Any] | None:
        """Provenance of the scores: as given, or that of the table where they are its own."""
        if (
            self.made is None
            and self.given_scores is None
            and isinstance(self.prompts, OutputTable)
        ):
            found: Mapping[str, Any] | None = self.prompts.provenance.get("scores")
            return found
        return self.made

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of a table or task; plain strings and rows are numbered."""
        if isinstance(self.prompts, OutputTable):
            return self.prompts.ids
        if isinstance(self.prompts, Task):
            return tuple(question.id for question in self.prompts.questions)
        kind = "row" if self.prompts is None else "prompt"
        return tuple(f"{kind} {number}" for number in range(1, len(self) + 1))

    @property
    def groups(self) -> NDArray[np.int64]:
        """(N,) the task of each prompt, from 0: by name in a table, one for all otherwise."""
        if isinstance(self.prompts, OutputTable):
            return np.unique(self.prompts.tasks, return_inverse=True)[1].astype(np.int64)
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


def network_inputs(
    calibrator: "Calibrator", given: PromptInputs, token_budget: int
) -> dict[str, Tensor]:
    """What a calibrator's thermometer reads of each prompt; its language model runs if it must.

    Raises:
        ValueError: If something that it reads is missing or of another origin, or N is 0.
    """
    if "scores" in calibrator.reads and given.scores is None:
        raise _checks.fail("scores", "given, since this thermometer reads them", "None")
    if "features" in calibrator.reads and given.prompts is None:
        raise _checks.fail("prompts", "given, since this thermometer reads features", "None")
    if not len(given):
        name = "scores" if given.prompts is None else "prompts"
        raise _checks.fail(name, f"at least one {name.removesuffix('s')}", "none")
    features = None
    if "features" in calibrator.reads:
        if isinstance(given.prompts, OutputTable):
            check_same_features(calibrator.features, given.prompts.provenance.get("features"))
            features = given.prompts.require("features")
        else:
            template = calibrator.template
            features = calibrator.language_model.outputs(
                given.rendered(template), template, scores=False, token_budget=token_budget
            ).features
    return calibrator.thermometer.inputs(
        None if features is None else torch.tensor(features),
        None if given.scores is None else torch.tensor(given.scores),
        torch.from_numpy(given.groups),
        calibrator.model,
    )
