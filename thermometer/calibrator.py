"""A trained thermometer with everything needed to use it: load, predict, calibrate, save.

It knows whose features and reference scores it reads and loads those language models when first
needed. The answering model is not its business: scores come in as numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from thermometer import _checks, checkpoint
from thermometer.answered_by import doubts
from thermometer.combining import Level as Level
from thermometer.combining import combined
from thermometer.domain import Domain
from thermometer.llm.language_model import LanguageModel
from thermometer.logprobs import option_probabilities
from thermometer.networks.thermometer import Thermometer
from thermometer.origins import Origin
from thermometer.posterior import FactorPosterior, updated
from thermometer.prompt_inputs import PromptInputs, Prompts, network_inputs
from thermometer.templates import Template
from thermometer.types import Calibration


class Calibrator:
    """Predicts temperatures and calibrates scores; made by `train` or `from_pretrained`.

    Args:
        thermometer: The trained network.
        features: Provenance of the features that it reads.
        target: Provenance of the scores that it was trained for, of each model if of several.
        train_tasks: Names of the tasks that it was trained on.
        pooled_temperature: The one that suited all training tasks together, of the first model.
        spread: Standard deviation of the log of the factor by which task temperatures missed on
            tasks held out in training; 0 if nobody measured it.
        domain: The training tasks as points, to tell how far a new one is.
        metrics: Measured quality, kept with the checkpoint.
        training: The configuration that made it, as YAML.
        language_model: The model that gives features; by default it is loaded as `features` say.
        reference: Provenance of the reference scores that it reads.
    """

    def __init__(
        self,
        thermometer: Thermometer,
        *,
        features: Mapping[str, Any],
        target: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        train_tasks: Sequence[str],
        pooled_temperature: float,
        spread: float = 0.0,
        domain: Domain | None = None,
        metrics: Mapping[str, Any] | None = None,
        training: str = "",
        language_model: LanguageModel | None = None,
        reference: Mapping[str, Any] | None = None,
    ) -> None:
        self.thermometer = thermometer.eval().requires_grad_(False)
        small, second = Origin("features", features), Origin("reference_scores", reference or {})
        one = bool(small.made) and small.made == second.made  # loaded once, asked for both at once
        self.origins = {"features": small, "reference_scores": small if one else second}
        self.features, self.reference = small.made, second.made
        targets = (target,) if isinstance(target, Mapping) else target
        self.targets = tuple(dict(of_model) for of_model in targets)
        self.model, self.target, self.is_chosen = 0, self.targets[0], False  # see `for_model`
        self.train_tasks = _checks.strings("train_tasks", train_tasks)
        self.pooled_temperature = pooled_temperature
        self.spread = _checks.number("spread", spread)
        self.domain = domain or Domain({})
        self.metrics = dict(metrics or {})
        self.training = training
        self.pictures: dict[str, bytes] = {}
        if language_model is not None:
            self.language_model = language_model

    def __repr__(self) -> str:
        small, large = self.features.get("model"), self.target.get("model")
        tasks = f"train_tasks={len(self.train_tasks)}, thermometer={self.thermometer.config}"
        return f"Calibrator(features={small!r}, target={large!r}, {tasks})"

    @property
    def template(self) -> Template:
        """The template that rendered the prompts of the features in training."""
        return self.origins["features"].template

    @property
    def language_model(self) -> LanguageModel:
        """The small language model; loaded when first asked for."""
        return self.origins["features"].lm

    @language_model.setter
    def language_model(self, lm: LanguageModel) -> None:
        self.origins["features"].lm = lm

    @property
    def reads(self) -> frozenset[str]:
        """What a prediction needs, of `features`, `scores` and `reference_scores`."""
        return self.thermometer.config.needs

    def temperature(
        self,
        prompts: Prompts | None = None,
        scores: ArrayLike | None = None,
        *,
        reference_scores: ArrayLike | None = None,
        token_budget: int = 4096,
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
            token_budget: Largest number of tokens, padding included, in one forward pass.

        Returns:
            (N,) float64, > 0.

        Raises:
            TypeError: If `prompts` is one string.
            ValueError: If the features are not of the model, layer and template of the training,
                or something that is read is missing, or scores do not fit the prompts.
        """
        given: dict[str, Any] = {"reference_scores": reference_scores, "token_budget": token_budget}
        return self.calibrate(prompts, scores, **given).temperature

    def calibrate(
        self,
        prompts: Prompts | None = None,
        scores: ArrayLike | None = None,
        *,
        reference_scores: ArrayLike | None = None,
        level: Level = "sample",
        token_budget: int = 4096,
        answered_by: Mapping[str, Any] | None = None,
    ) -> Calibration:
        """Calibrated probabilities of the answering model's options.

        Args:
            prompts: As for `temperature`.
            scores: As for `temperature`, in the order of `prompts`.
            reference_scores: As for `temperature`.
            level: Divide each row by its own temperature (`sample`), or all rows by the task's
                (`task`), which is the mean over the prompts given.
            token_budget: As for `temperature`.
            answered_by: Provenance of `scores`, to warn of another model; a table has its own.

        Returns:
            Temperatures, and probabilities if there are scores.

        Raises:
            ValueError: As `temperature`.
        """
        _checks.one_of("level", level, ("sample", "task"))
        given = PromptInputs(prompts, scores, answered_by, reference_scores)
        inputs = network_inputs(self, given, token_budget)
        with torch.inference_mode():
            b = self.thermometer.predict(inputs, torch.from_numpy(given.groups), self.model)
        means = {name: values.double().mean(dim=0).numpy() for name, values in inputs.items()}
        known = self.spread, self.domain.distances(means), doubts(self, given.answered_by)
        return combined(b.double().numpy(), given.ids, given.scores, level, *known)

    def from_logprobs(
        self,
        responses: Sequence[Any],
        options: Sequence[str] | Sequence[Sequence[str]],
        prompts: Prompts | None = None,
        *,
        reference_scores: ArrayLike | None = None,
        level: Level = "sample",
        token_budget: int = 4096,
        **reading: Any,
    ) -> Calibration:
        """Calibrated probabilities from the responses of a black-box model's server.

        Args:
            responses: N of them, with log-probabilities: objects of a client, dicts or JSON text.
            options: Texts that the model chose among; for each row its own, or the same for all.
            prompts: As for `temperature`, if the thermometer reads features or reference scores.
            reference_scores: As for `temperature`; say, `option_probabilities(...).scores`.
            level: As for `calibrate`.
            token_budget: As for `temperature`.
            **reading: See `logprobs.option_probabilities`, which has raw probabilities and bounds.

        Returns:
            As `calibrate`, with warnings of responses that say too little.

        Raises:
            ValueError: As `calibrate`, and for responses without log-probabilities.
        """
        found = option_probabilities(responses, options, **reading)
        given: dict[str, Any] = {"reference_scores": reference_scores, "token_budget": token_budget}
        result = self.calibrate(prompts, found.scores, level=level, **given)
        return replace(result, warnings=(*result.warnings, *found.warnings))

    def update(
        self,
        prompts: Prompts | None,
        labels: ArrayLike,
        scores: ArrayLike | None = None,
        *,
        reference_scores: ArrayLike | None = None,
        level: Level = "sample",
        token_budget: int = 4096,
    ) -> tuple[Calibration, FactorPosterior]:
        """Calibrate with a few labels of the task itself: prediction as prior, labels as evidence.

        Args:
            prompts: As for `calibrate`, of one task.
            labels: (N,) integers, -1 where there is no label.
            scores: As for `calibrate`; needed.
            reference_scores: As for `calibrate`.
            level: As for `calibrate`.
            token_budget: As for `temperature`.

        Returns:
            The calibration, all temperatures times one factor; and that factor with its interval,
            see `posterior.factor_posterior`. Without labels that of `calibrate`, and 1.

        Raises:
            ValueError: As `calibrate`; if there are no scores, or the training measured no spread.
        """
        known = PromptInputs(prompts, scores).scores
        if known is None or not self.spread:
            raise _checks.fail("scores" if known is None else "spread", "known", None)
        given: dict[str, Any] = {"reference_scores": reference_scores, "token_budget": token_budget}
        prior = self.calibrate(prompts, scores, level=level, **given)
        return updated(prior, known, labels, self.spread, level=level)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a checkpoint folder of all its answering models; see checkpoints/README.md."""
        from thermometer.model_card import model_card

        pooled = float(self.thermometer.references[0]) if self.model else self.pooled_temperature
        content = checkpoint.Checkpoint(
            network=self.thermometer.architecture(),
            weights=self.thermometer.state_dict(),
            features=self.features,
            reference=self.reference,
            targets=self.targets,
            train_tasks=self.train_tasks,
            pooled_temperature=pooled,
            spread=self.spread,
            domain=self.domain.arrays,
            metrics=self.metrics,
            training=self.training,
            pictures=self.pictures,
        )
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
        loaded = cls(
            checkpoint.rebuild(content, path),
            features=content.features,
            target=content.targets,
            train_tasks=content.train_tasks,
            pooled_temperature=content.pooled_temperature,
            spread=content.spread,
            domain=Domain.from_arrays(content.domain),
            metrics=content.metrics,
            training=content.training,
            language_model=language_model,
            reference=content.reference,
        )
        loaded.pictures = dict(content.pictures)
        return loaded

    def push_to_hub(self, repository: str, *, private: bool = False) -> str:
        """Upload the checkpoint to a hub; returns its address."""
        with TemporaryDirectory() as folder:
            self.save_pretrained(Path(folder) / "checkpoint")
            return checkpoint.upload(Path(folder) / "checkpoint", repository, private=private)
