"""Whose numbers they are: language models known by the provenance of what they gave.

A thermometer holds for the hidden states, or the reference scores, of the model that it was trained
with, read from the same layer of the same prompts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from thermometer.llm.engine import Outputs
from thermometer.llm.language_model import LanguageModel
from thermometer.templates import Prompt, Template

_IDENTITY = {
    "features": ("layer", "num_layers", "position", "template_digest"),
    "reference_scores": ("template_digest",),
}


def check_same_origin(
    name: str, expected: Mapping[str, Any], got: Mapping[str, Any] | None
) -> None:
    """Raise `ValueError` if numbers of one provenance cannot stand in for those of another.

    The model is compared by the fingerprint of its weights where both have one, else by name.

    Args:
        name: `features` or `reference_scores`.
        expected: Provenance of those that were trained with.
        got: Provenance of the others.

    Example:
        >>> check_same_origin("features", {"model": "a", "layer": -1}, {"model": "a", "layer": 8})
        Traceback (most recent call last):
        ...
        ValueError: Expected features with layer=-1, but got layer=8
    """
    if not expected or not got:
        return  # made outside this package, by somebody who knows what they are
    kind = name.replace("_", " ")
    by = "fingerprint" if expected.get("fingerprint") and got.get("fingerprint") else "model"
    if expected.get(by) != got.get(by):
        raise ValueError(
            f"Expected {kind} of {expected.get('model')} ({by} {expected.get(by)}), "
            f"but got {kind} of {got.get('model')} ({by} {got.get(by)})"
        )
    for key in _IDENTITY[name]:
        if key in expected and key in got and expected[key] != got[key]:
            raise ValueError(
                f"Expected {kind} with {key}={expected[key]!r}, but got {key}={got[key]!r}"
            )


@dataclass(frozen=True, eq=False)
class Origin:
    """A language model that is loaded when it is first needed, as provenance says.

    Args:
        name: What it gives: `features` or `reference_scores`.
        made: Their provenance; empty if there are none.
        given: The model, if it is loaded already.

    Raises:
        ValueError: If `given` is not the model that `made` names.

    Example:
        >>> Origin("features", {}).template
        Traceback (most recent call last):
        ...
        ValueError: Expected features made by this package, but the checkpoint names no template; \
pass an OutputTable with features
    """

    name: str
    made: Mapping[str, Any]
    given: LanguageModel | None = None

    def __post_init__(self) -> None:
        if self.given is not None:
            _ = self.lm

    @property
    def template(self) -> Template:
        """The template that rendered the prompts in training."""
        if (fields := self.made.get("template")) is None:
            handed = "an OutputTable with features" if self.name == "features" else f"`{self.name}`"
            raise ValueError(
                f"Expected {self.name} made by this package, but the checkpoint names no template; "
                f"pass {handed}"
            )
        return Template(**fields)

    @cached_property
    def lm(self) -> LanguageModel:
        """The model; numbers that were recorded elsewhere have none, which is a `ValueError`."""
        template = self.template
        lm = self.given or LanguageModel.from_pretrained(
            self.made["model"],
            revision=self.made.get("revision"),
            dtype=self.made["dtype"],
            num_layers=self.made["num_layers"],
            layer=self.made["layer"],
            position="mean" if self.made.get("position") == "mean" else "last",
            gguf_file=self.made.get("gguf_file"),
        )
        check_same_origin(self.name, self.made, lm.provenance(template))
        return lm

    def outputs(self, prompts: Sequence[Prompt], *, features: bool, scores: bool) -> Outputs:
        """What the model says of prompts that `template` rendered."""
        return self.lm.outputs(prompts, self.template, features=features, scores=scores)
