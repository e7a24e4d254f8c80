"""A trained thermometer with everything needed to use it: load, predict, calibrate, save.

It knows whose features it reads and loads that language model when first needed. The answering
model is not its business: scores come in as numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from thermometer import _checks, checkpoint
from thermometer.language_model import LanguageModel
from thermometer.network import Thermometer
from thermometer.scaling import scale_scores
from thermometer.tables import OutputTable, check_same_features
from thermometer.templates import Prompt, Template
from thermometer.types import Calibration, Task

Level = Literal["sample", "task"]


class Calibrator:
    """Predicts temperatures for prompts and calibrates scores with them.

    Made by `train` or `from_pretrained`.

    Args:
        thermometer: The trained network.
        features: Provenance of the features that it reads.
        target: Provenance of the scores that it was trained for.
        train_tasks: Names of the tasks that it was trained on.
        pooled_temperature: The one temperature that suited all training tasks together.
        metrics: Measured quality, kept with the checkpoint.
        training: The configuration that made it, as YAML.
        language_model: The model that gives features; by default it is loaded as `features` say.
    """

    def __init__(
        self,
        thermometer: Thermometer,
        *,
        features: Mapping[str, Any],
        target: Mapping[str, Any],
        train_tasks: Sequence[str],
        pooled_temperature: float,
        metrics: Mapping[str, Any] | None = None,
        training: str = "",
        language_model: LanguageModel | None = None,
    ) -> None:
        self.thermometer = thermometer.eval().requires_grad_(False)
        self.features = dict(features)
        self.target = dict(target)
        self.train_tasks = _checks.strings("train_tasks", train_tasks)
        self.pooled_temperature = pooled_temperature
        self.metrics = dict(metrics or {})
        self.training = training
        self.pictures: dict[str, bytes] = {}
        self._language_model: LanguageModel | None = None
        if language_model is not None:
            self.language_model = language_model

    def __repr__(self) -> str:
        return (
            f"Calibrator(features={self.features.get('model')!r}, "
            f"target={self.target.get('model')!r}, train_tasks={len(self.train_tasks)}, "
            f"thermometer={self.thermometer.config})"
        )

    @property
    def template(self) -> Template:
        """The template that rendered the prompts in training."""
        fields = self.features.get("template")
        if fields is None:
            raise ValueError(
                "Expected features made by this package, but the checkpoint names no template; "
                "pass an OutputTable with features"
            )
        return Template(**fields)

    @property
    def language_model(self) -> LanguageModel:
        """The small language model; loaded when first asked for."""
        if self._language_model is None:
            self.language_model = LanguageModel.from_pretrained(
                self.features["model"],
                revision=self.features.get("revision"),
                dtype=self.features["dtype"],
                num_layers=self.features["num_layers"],
                layer=self.features["layer"],
            )
        assert self._language_model is not None
        return self._language_model

    @language_model.setter
    def language_model(self, lm: LanguageModel) -> None:
        check_same_features(self.features, lm.provenance(self.template))
        self._language_model = lm

    @property
    def reads(self) -> frozenset[str]:
        """What a prediction needs: `features` of the small model, `scores` of the large one."""
        sources = self.thermometer.config.sources
        return frozenset("scores" if source == "context" else source for source in sources)

    def temperature(
        self,
        prompts: Task | OutputTable | Sequence[str],
        scores: ArrayLike | None = None,
        *,
        token_budget: int = 4096,
    ) -> NDArray[np.float64]:
        """Temperature of each prompt.

        A thermometer that reads the context of a task takes all prompts given as one task; rows of
        a table by the names of their tasks.

        Args:
            prompts: Complete prompts, as the model reads them; a task, rendered by the template of
                the training; or a table with features.
            scores: (N, K) unnormalised scores of the answering model, if `reads` says that they
                are read. By default those of the table, if it has any.
            token_budget: Largest number of tokens, padding included, in one forward pass.

        Returns:
            (N,) float64, > 0.

        Raises:
            TypeError: If `prompts` is one string.
            ValueError: If the features are not of the model, layer and template of the training,
                or scores are needed and missing, or do not fit the prompts.
        """
        given = self._scores(prompts, scores)
        features = self._features(prompts, token_budget) if "features" in self.reads else None
        groups = np.zeros(_size(prompts), dtype=np.int64)
        if isinstance(prompts, OutputTable):
            groups = np.unique(prompts.tasks, return_inverse=True)[1]
        with torch.inference_mode():
            temperature: NDArray[np.float64] = (
                self.thermometer(
                    None if features is None else torch.tensor(features),
                    None if given is None else torch.tensor(given),
                    torch.from_numpy(groups),
                )
                .double()
                .numpy()
            )
        return temperature

    def _scores(
        self, prompts: Task | OutputTable | Sequence[str], scores: ArrayLike | None
    ) -> NDArray[np.float64] | None:
        """Checked scores of the prompts, if any are given."""
        if scores is None and isinstance(prompts, OutputTable):
            scores = prompts.scores
        if scores is None:
            if "scores" in self.reads:
                raise _checks.fail("scores", "given, since this thermometer reads them", "None")
            return None
        matrix = _checks.score_matrix("scores", scores)
        if len(matrix) != _size(prompts):
            raise _checks.fail("scores", f"of length {_size(prompts)} (as `prompts`)", len(matrix))
        return matrix

    def calibrate(
        self,
        prompts: Task | OutputTable | Sequence[str],
        scores: ArrayLike | None = None,
        *,
        level: Level = "sample",
        token_budget: int = 4096,
    ) -> Calibration:
        """Calibrated probabilities of the answering model's options.

        Args:
            prompts: As for `temperature`.
            scores: (N, K) unnormalised scores of the answering model, in the order of `prompts`,
                ``-inf`` to the right of short rows. By default those of the table, if it has any.
            level: Divide each row by its own temperature (`sample`), or all rows by the task's
                (`task`), which is the mean over the prompts given.
            token_budget: As for `temperature`.

        Returns:
            Temperatures, and probabilities if there are scores.

        Raises:
            ValueError: As `temperature`, and if `scores` do not fit the prompts.
        """
        _checks.one_of("level", level, ("sample", "task"))
        given = self._scores(prompts, scores)
        temperature = self.temperature(prompts, given, token_budget=token_budget)
        task_temperature = harmonic_mean(temperature)
        used = temperature if level == "sample" else task_temperature
        probs = None if given is None else scale_scores(given, used)
        return Calibration(_ids(prompts), temperature, task_temperature, probs)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a checkpoint folder; see checkpoints/README.md for the format."""
        from thermometer.model_card import model_card

        content = checkpoint.Checkpoint(
            network=self.thermometer.architecture(),
            weights=self.thermometer.state_dict(),
            features=self.features,
            target=self.target,
            train_tasks=self.train_tasks,
            pooled_temperature=self.pooled_temperature,
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
        path = Path(folder)
        if not path.is_dir():
            if path.is_absolute() or str(folder).startswith(".") or str(folder).count("/") != 1:
                raise FileNotFoundError(f"Expected a checkpoint folder, but there is no {folder}")
            path = checkpoint.download(str(folder), revision)
        content = checkpoint.read(path)
        try:
            thermometer = Thermometer.from_architecture(dict(content.network))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path / checkpoint.CONFIG}: {error}") from error
        try:
            thermometer.load_state_dict(dict(content.weights), strict=True)
        except RuntimeError as error:
            raise ValueError(f"{path / checkpoint.WEIGHTS}: {error}") from error
        loaded = cls(
            thermometer,
            features=content.features,
            target=content.target,
            train_tasks=content.train_tasks,
            pooled_temperature=content.pooled_temperature,
            metrics=content.metrics,
            training=content.training,
            language_model=language_model,
        )
        loaded.pictures = dict(content.pictures)
        return loaded

    def push_to_hub(self, repository: str, *, private: bool = False) -> str:
        """Upload the checkpoint to a hub; returns its address."""
        from tempfile import TemporaryDirectory

        from huggingface_hub import HfApi

        api = HfApi()
        url = api.create_repo(repository, private=private, exist_ok=True)
        with TemporaryDirectory() as folder:
            self.save_pretrained(Path(folder) / "checkpoint")
            api.upload_folder(repo_id=repository, folder_path=Path(folder) / "checkpoint")
        return str(url)

    def _features(
        self, prompts: Task | OutputTable | Sequence[str], token_budget: int
    ) -> NDArray[np.float32]:
        if isinstance(prompts, OutputTable):
            check_same_features(self.features, prompts.provenance.get("features"))
            features: NDArray[np.float32] = prompts.require("features")
            return features
        template = self.template
        if isinstance(prompts, Task):
            rendered = template.render_task(prompts)
        else:
            texts = _checks.strings("prompts", prompts)
            if not texts:
                raise _checks.fail("prompts", "at least one prompt", "none")
            rendered = [
                Prompt(identifier, text, chat=template.chat)
                for identifier, text in zip(_ids(texts), texts, strict=True)
            ]
        outputs = self.language_model.outputs(
            rendered, template, features=True, scores=False, token_budget=token_budget
        )
        assert outputs.features is not None
        return outputs.features


def harmonic_mean(temperature: NDArray[np.float64]) -> float:
    """A task's temperature from its samples': 1 / mean(1 / temperature), as in the paper's code.

    Example:
        >>> harmonic_mean(np.array([1.0, 3.0]))
        1.5
    """
    return float(1 / np.mean(1 / temperature))


def _size(prompts: Task | OutputTable | Sequence[str]) -> int:
    if isinstance(prompts, Task | OutputTable):
        return len(prompts)
    return len(_checks.strings("prompts", prompts))


def _ids(prompts: Task | OutputTable | Sequence[str]) -> tuple[str, ...]:
    if isinstance(prompts, OutputTable):
        return prompts.ids
    if isinstance(prompts, Task):
        return tuple(question.id for question in prompts.questions)
    return tuple(f"prompt {number}" for number in range(1, len(prompts) + 1))
