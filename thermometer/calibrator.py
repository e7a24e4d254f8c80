"""A trained thermometer with everything needed to use it: load, predict, calibrate, save.

It knows whose features and reference scores it reads and loads those language models when first
needed. The answering model is not its business: scores come in as numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from thermometer import _checks, checkpoint
from thermometer.answered_by import doubts
from thermometer.checkpoint import Checkpoint, TrainingRecord
from thermometer.combining import Level as Level
from thermometer.combining import combined
from thermometer.llm.language_model import LanguageModel
from thermometer.model_card import model_card
from thermometer.networks.thermometer import Thermometer
from thermometer.origins import Origin, check_same_origin
from thermometer.posterior import FactorPosterior, updated
from thermometer.prompt_inputs import PromptInputs, Prompts
from thermometer.templates import Template
from thermometer.types import Calibration, Task


@dataclass(frozen=True, eq=False, repr=False)
class Calibrator:
    """Predicts temperatures and calibrates scores; made by `train` or `from_pretrained`.

    It never changes: `with_record`, `with_language_model` and `for_model` make another one, which
    shares the language models.

    Args:
        thermometer: The trained network.
        record: What it was trained with and for.
        origins: The language models that give `features` and `reference_scores`; by default those
            that the record names, loaded when first needed.
        chosen: Which answering model of the training it is set to, by its place in
            `record.targets`, see `for_model`. By default the first, and scores of another are
            warned of.
    """

    thermometer: Thermometer
    record: TrainingRecord
    origins: Mapping[str, Origin] = field(default_factory=dict)
    chosen: int | None = None

    def __post_init__(self) -> None:
        self.thermometer.eval().requires_grad_(False)
        if not self.origins:
            small = Origin("features", self.record.features)
            second = Origin("reference_scores", self.record.reference)
            one = bool(small.made) and small.made == second.made  # loaded once, asked for both
            origins = {"features": small, "reference_scores": small if one else second}
            object.__setattr__(self, "origins", origins)

    def __repr__(self) -> str:
        small, large = self.record.features.get("model"), self.target.get("model")
        tasks = f"train_tasks={len(self.train_tasks)}, thermometer={self.thermometer.config}"
        return f"Calibrator(features={small!r}, target={large!r}, {tasks})"

    @property
    def model(self) -> int:
        """Place in `record.targets` of the answering model that it is set to."""
        return self.chosen or 0

    @property
    def target(self) -> Mapping[str, Any]:
        """Provenance of the scores of the answering model that it is set to."""
        return self.record.targets[self.model]

    @property
    def pooled_temperature(self) -> float:
        """The one temperature that suited all training tasks of that model together."""
        if self.chosen is None:
            return self.record.pooled_temperature
        return float(self.thermometer.references[self.chosen])

    @property
    def train_tasks(self) -> tuple[str, ...]:
        """Names of the tasks that it was trained on."""
        return tuple(self.record.train_tasks)

    @property
    def template(self) -> Template:
        """The template that rendered the prompts of the features in training."""
        return self.origins["features"].template

    @property
    def language_model(self) -> LanguageModel:
        """The language model that gives features; loaded when first asked for."""
        return self.origins["features"].lm

    @property
    def reads(self) -> frozenset[str]:
        """What a prediction needs, of `features`, `scores` and `reference_scores`."""
        return self.thermometer.config.needs

    def with_language_model(self, lm: LanguageModel, gives: str = "features") -> "Calibrator":
        """The same thermometer with a model that is loaded already.

        Args:
            lm: The model that the record names.
            gives: `features` or `reference_scores`; both where one model gave both in training.

        Raises:
            ValueError: If it is not the model of the training, or `gives` is unknown.
        """
        _checks.one_of("gives", gives, tuple(self.origins))
        old = self.origins[gives]
        new = Origin(old.name, old.made, lm)
        origins = {name: new if one is old else one for name, one in self.origins.items()}
        return replace(self, origins=origins)

    def with_record(self, **changes: Any) -> "Calibrator":
        """The same thermometer with other fields in its record, such as measured `metrics`."""
        return replace(self, record=replace(self.record, **changes))

    def temperature(
        self,
        prompts: Prompts | None = None,
        scores: ArrayLike | None = None,
        *,
        reference_scores: ArrayLike | None = None,
    ) -> NDArray[np.float64]:
        """Temperature of each prompt; all are taken as one task, those of a table by its tasks.

        Args:
            prompts: Complete prompts, as the model reads them; a task, rendered by the template of
                the training; or a table with features. `None` will do for scores alone, if
                `reads` names nothing else.
            scores: (N, K) unnormalised scores of the answering model, ``-inf`` to the right of
                short rows; needed if in `reads`. By default those of the table, if it has any.
            reference_scores: (N, K) of the same options by the reference model, if in `reads`; by
                default those of the table, or for a task those that the reference model gives.

        Returns:
            (N,) float64, > 0.

        Raises:
            TypeError: If `prompts` is one string.
            ValueError: If the features are not of the model, layer and template of the training,
                or something that is read is missing, or scores do not fit the prompts.
        """
        return self.calibrate(prompts, scores, reference_scores=reference_scores).temperature

    def calibrate(
        self,
        prompts: Prompts | None = None,
        scores: ArrayLike | None = None,
        *,
        reference_scores: ArrayLike | None = None,
        level: Level = "sample",
        answered_by: Mapping[str, Any] | None = None,
    ) -> Calibration:
        """Calibrated probabilities of the answering model's options.

        Args:
            prompts: As for `temperature`.
            scores: As for `temperature`, in the order of `prompts`.
            reference_scores: As for `temperature`.
            level: Divide each row by its own temperature (`sample`), or all rows by the task's
                (`task`), which is the mean over the prompts given.
            answered_by: Provenance of `scores`, to warn of another model; a table has its own.

        Returns:
            Temperatures, and probabilities if there are scores.

        Raises:
            ValueError: As `temperature`.
        """
        _checks.one_of("level", level, ("sample", "task"))
        given = PromptInputs(prompts, scores, answered_by, reference_scores)
        inputs = self._inputs(given)
        with torch.inference_mode():
            b = self.thermometer.predict(inputs, torch.from_numpy(given.groups), self.model)
        means = {name: values.double().mean(dim=0).numpy() for name, values in inputs.items()}
        return combined(
            b.double().numpy(),
            given.ids,
            given.scores,
            level,
            self.record.spread,
            self.record.domain.distances(means),
            doubts(self.record.targets, given.answered_by) if self.chosen is None else (),
        )

    def update(
        self,
        prompts: Prompts | None,
        labels: ArrayLike,
        scores: ArrayLike | None = None,
        *,
        reference_scores: ArrayLike | None = None,
        level: Level = "sample",
    ) -> tuple[Calibration, FactorPosterior]:
        """Calibrate with a few labels of the task itself: prediction as prior, labels as evidence.

        Args:
            prompts: As for `calibrate`, of one task.
            labels: (N,) integers, -1 where there is no label.
            scores: As for `calibrate`; needed.
            reference_scores: As for `calibrate`.
            level: As for `calibrate`.

        Returns:
            The calibration, all temperatures times one factor; and that factor with its interval,
            see `posterior.factor_posterior`. Without labels that of `calibrate`, and 1.

        Raises:
            ValueError: As `calibrate`; if there are no scores, or the training measured no spread.
        """
        known, spread = PromptInputs(prompts, scores).scores, self.record.spread
        if known is None or not spread:
            raise _checks.fail("scores" if known is None else "spread", "known", None)
        prior = self.calibrate(prompts, scores, reference_scores=reference_scores, level=level)
        return updated(prior, known, labels, spread, level=level)

    def _inputs(self, given: PromptInputs) -> dict[str, Tensor]:
        """What the network reads of each prompt; language models run for what is missing.

        Raises:
            ValueError: If something that it reads is missing or of another origin, or N is 0.
        """
        if "scores" in self.reads and given.scores is None:
            raise _checks.fail("scores", "given, since this thermometer reads them", "None")
        if "features" in self.reads and given.prompts is None:
            raise _checks.fail("prompts", "given, since this thermometer reads features", "None")
        if not len(given):
            name = "scores" if given.prompts is None else "prompts"
            raise _checks.fail(name, f"at least one {name.removesuffix('s')}", "none")
        features, reference = self._of_other_models(given)
        found = {"scores": given.scores, "features": features, "reference_scores": reference}
        return self.thermometer.inputs(
            **{name: None if v is None else torch.tensor(v) for name, v in found.items()},
            groups=torch.from_numpy(given.groups),
            models=self.model,
        )

    def _of_other_models(
        self, given: PromptInputs
    ) -> tuple[NDArray[Any] | None, NDArray[Any] | None]:
        """Features and reference scores, as far as they are read."""
        for name in self.reads & set(self.origins):
            made = None if given.table is None else given.table.provenance.get(name)
            check_same_origin(name, self.origins[name].made, made)
        small, second = self.origins["features"], self.origins["reference_scores"]
        features: NDArray[Any] | None = None
        reference: NDArray[Any] | None = None
        if "reference_scores" in self.reads:
            reference = given.reference_scores
        asks_second = "reference_scores" in self.reads and reference is None
        if asks_second and not isinstance(given.prompts, Task):
            expected = "given, since this thermometer reads them and there is no task to ask about"
            raise _checks.fail("reference_scores", expected, "None")
        if "features" in self.reads and given.table is not None:
            features = given.table.require("features")
        elif "features" in self.reads:
            both = asks_second and small is second
            outputs = small.outputs(given.rendered(small.template), features=True, scores=both)
            features, reference = outputs.features, outputs.scores if both else reference
        if asks_second and reference is None:
            prompts = given.rendered(second.template)
            reference = second.outputs(prompts, features=False, scores=True).scores
        if given.scores is not None and reference is not None:
            _checks.same_options(given.scores, reference)
        return features, reference

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a checkpoint folder of all its answering models; see checkpoints/README.md."""
        network, weights = self.thermometer.architecture(), self.thermometer.state_dict()
        content = Checkpoint(network, weights, self.record)
        checkpoint.write(replace(content, card=model_card(content)), folder)

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        *,
        revision: str | None = None,
        language_model: LanguageModel | None = None,
    ) -> "Calibrator":
        """Load a checkpoint from a folder, or from a hub if there is no such folder.

        Raises:
            FileNotFoundError: If a file of the checkpoint is missing.
            ValueError: If it is malformed, damaged or of a newer format, or if `language_model` is
                not the one that the checkpoint was trained with.
        """
        path = checkpoint.locate(folder, revision)
        content = checkpoint.read(path)
        loaded = cls(checkpoint.rebuild(content, path), content.record)
        return loaded if language_model is None else loaded.with_language_model(language_model)

    def push_to_hub(self, repository: str, *, private: bool = False) -> str:
        """Upload the checkpoint to a hub; returns its address."""
        with TemporaryDirectory() as folder:
            self.save_pretrained(Path(folder) / "checkpoint")
            return checkpoint.upload(Path(folder) / "checkpoint", repository, private=private)
