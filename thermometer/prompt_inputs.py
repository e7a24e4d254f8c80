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
from thermometer.origins import check_same_origin
from thermometer.tables import OutputTable
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

    @cached_property
    def scores(self) -> NDArray[np.float64] | None:
        """(N, K) those given, or those of the table, or `None`."""
        return self._matrix("scores", self.given_scores)

    @cached_property
    def reference_scores(self) -> NDArray[np.float64] | None:
        """(N, K) likewise of the reference model."""
        return self._matrix("reference_scores", self.given_reference)

    def _matrix(self, name: str, given: ArrayLike | None) -> NDArray[np.float64] | None:
        if given is None and isinstance(self.prompts, OutputTable):
            given = getattr(self.prompts, name)
        if given is None:
            return None
        matrix = _checks.score_matrix(name, given)
        if self.prompts is not None and len(matrix) != len(self):
            raise _checks.fail(name, f"of length {len(self)} (as `prompts`)", len(matrix))
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
    """What a calibrator's thermometer reads of each prompt; its language models run if they must.

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
    found = {"scores": given.scores, **_of_other_models(calibrator, given, token_budget)}
    return calibrator.thermometer.inputs(
        **{name: None if v is None else torch.tensor(v) for name, v in found.items()},
        groups=torch.from_numpy(given.groups),
        models=calibrator.model,
    )


def _of_other_models(
    calibrator: "Calibrator", given: PromptInputs, token_budget: int
) -> dict[str, NDArray[Any] | None]:
    """Features and reference scores, as far as they are read; a model runs for what is missing."""
    table = given.prompts if isinstance(given.prompts, OutputTable) else None
    reads, origins = calibrator.reads, calibrator.origins
    for name in reads & set(origins):
        made = None if table is None else table.provenance.get(name)
        check_same_origin(name, origins[name].made, made)
    reference: NDArray[Any] | None = None
    if "reference_scores" in reads:
        reference = given.reference_scores
    asks_second = "reference_scores" in reads and reference is None
    if asks_second and not isinstance(given.prompts, Task):
        expected = "given, since this thermometer reads them and there is no task to ask about"
        raise _checks.fail("reference_scores", expected, "None")
    features: NDArray[np.float32] | None = None
    if "features" in reads and table is not None:
        features = table.require("features")
    elif "features" in reads:
        small = origins["features"]
        both = asks_second and small is origins["reference_scores"]
        outputs = small.outputs(given.rendered(small.template), token_budget, scores=both)
        features = outputs.features
        reference = outputs.scores if both else reference
    if asks_second and reference is None:
        second = origins["reference_scores"]
        prompts = given.rendered(second.template)
        reference = second.outputs(prompts, token_budget, features=False).scores
    if given.scores is not None and reference is not None:
        _checks.same_options(given.scores, reference)
    return {"features": features, "reference_scores": reference}
