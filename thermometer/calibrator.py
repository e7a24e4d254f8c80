"""A trained thermometer with everything needed to use it: load, predict, calibrate, save.

A `Calibrator` checks that features and reference scores come from the models that it was trained
with, and loads those language models when first needed. The answering model's scores come in as
numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from thermometer import _checks, _threads, checkpoint
from thermometer.checkpoint import Checkpoint, TrainingRecord, model_card
from thermometer.network import Thermometer
from thermometer.posterior import FactorPosterior, Per, combined, updated
from thermometer.score_features import sums_by_group
from thermometer.tables import OutputTable
from thermometer.templates import Prompt, Template
from thermometer.types import Calibration, Task

if TYPE_CHECKING:  # the libraries of language models load when one is needed
    from thermometer.language_model import LanguageModel, Outputs

Prompts = Task | OutputTable | Sequence[str]
Provenance = Mapping[str, Any]
_IDENTITY = {
    "features": ("layer", "num_layers", "position", "template_digest"),
    "reference_scores": ("template_digest",),
}


def check_same_origin(name: str, expected: Provenance, got: Provenance | None) -> None:
    """Raise `ValueError` if numbers of one provenance cannot stand in for those of another.

    The model is compared by the fingerprint of its weights where both have one, else by name.

    Args:
        name: `features` or `reference_scores`.
        expected: Provenance of those of the training.
        got: Provenance of the others.

    Example:
        >>> check_same_origin("features", {"model": "a", "layer": -1}, {"model": "a", "layer": 8})
        Traceback (most recent call last):
        ...
        ValueError: Expected features with layer=-1, but got layer=8
    """
    if not expected or not got:
        return  # recorded outside this package
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
        provenance: That of the training; empty if there is none.
        loaded: The model, if it is loaded already.

    Raises:
        ValueError: If `loaded` is not the model that `provenance` names.

    Example:
        >>> Origin("features", {}).template
        Traceback (most recent call last):
        ...
        ValueError: Expected features made by this package, but the checkpoint names no template; \
pass an OutputTable with features
    """

    name: str
    provenance: Provenance
    loaded: "LanguageModel | None" = None

    def __post_init__(self) -> None:
        if self.loaded is not None:
            _ = self.lm

    @property
    def template(self) -> Template:
        """The template that rendered the prompts in training."""
        if (fields := self.provenance.get("template")) is None:
            handed = "an OutputTable with features" if self.name == "features" else f"`{self.name}`"
            raise ValueError(
                f"Expected {self.name} made by this package, but the checkpoint names no template; "
                f"pass {handed}"
            )
        return Template(**fields)

    @property
    def lm(self) -> "LanguageModel":
        """The model; of numbers that were recorded elsewhere there is none: `ValueError`."""
        if "_lm" not in vars(self):
            with _threads.PROCESS:  # of several threads one loads it, and the others wait
                if "_lm" not in vars(self):
                    object.__setattr__(self, "_lm", self._load())
        found: LanguageModel = vars(self)["_lm"]
        return found

    def _load(self) -> "LanguageModel":
        from thermometer.language_model import LanguageModel

        template = self.template
        lm = self.loaded or LanguageModel.from_pretrained(
            self.provenance["model"],
            revision=self.provenance.get("revision"),
            dtype=self.provenance["dtype"],
            num_layers=self.provenance["num_layers"],
            layer=self.provenance["layer"],
            position="mean" if self.provenance.get("position") == "mean" else "last",
            gguf_file=self.provenance.get("gguf_file"),
        )
        check_same_origin(self.name, self.provenance, lm.provenance(template))
        return lm

    def outputs(self, prompts: Sequence[Prompt], *, features: bool, scores: bool) -> "Outputs":
        """The model's outputs for prompts that `template` rendered."""
        return self.lm.outputs(prompts, self.template, features=features, scores=scores)


def origin_warnings(
    targets: Sequence[Provenance], provenance: Provenance | None
) -> tuple[str, ...]:
    """A warning if scores are of another answering model than a thermometer is set to.

    Args:
        targets: Provenance of the scores that it was trained for; it is set to the first.
        provenance: That of the scores, if known.

    Returns:
        One sentence, or none if the models agree or either is unnamed.

    Example:
        >>> origin_warnings([{"model": "7B"}], {"model": "70B"})[0].split(":")[0]
        "The scores are of '70B', but the thermometer was trained for '7B'"
        >>> origin_warnings([{"model": "7B"}], {"model": "somewhere/7b"})
        ()
    """
    target, made = targets[0], provenance or {}
    if not (made.get("model") and target.get("model")) or _same(made, target):
        return ()
    if (place := place_of(targets, made)) is not None:
        return (
            f"The scores are of {made['model']!r}, but the thermometer is set to "
            f"{target['model']!r}: choose with "
            f"`for_model(calibrator, {targets[place]['model']!r})`.",
        )
    if "file" in made:  # whose name need not be that of a model
        return ()
    trained = [t for t in targets if t.get("model")]
    names = ", ".join(repr(t["model"]) for t in trained)
    weights = " with other weights" if _name(made) in map(_name, trained) else ""
    return (
        f"The scores are of {made['model']!r}, but the thermometer was trained for {names}"
        f"{weights}: its temperatures may be far off. Adapt it to this model (`adapt`), or train "
        "one for it.",
    )


def place_of(targets: Sequence[Provenance], provenance: Provenance) -> int | None:
    """Which answering model of the training gave scores of some provenance, if one did.

    Example:
        >>> place_of([{"model": "7B"}, {"model": "70B"}], {"model": "70B"})
        1
    """
    for place, target in enumerate(targets):
        if provenance.get("model") and target.get("model") and _same(provenance, target):
            return place
    return None


def scores_template(target: Provenance) -> Template:
    """The template of the scores that a calibrator was trained for.

    If their provenance names none, since they were recorded elsewhere, it is a `ValueError`.
    """
    if (fields := target.get("template")) is None:
        raise ValueError(
            "Expected a calibrator of scores made by this package, but its checkpoint names no "
            "template; call `calibrator.calibrate` with the scores"
        )
    return Template(**fields)


def _same(provenance: Provenance, target: Provenance) -> bool:
    """By the fingerprint of weights where both have one (rounded ones differ), else by name."""
    ours, theirs = provenance.get("fingerprint"), target.get("fingerprint")
    if ours and theirs and (ours == theirs or provenance.get("dtype") == target.get("dtype")):
        return bool(ours == theirs)
    return _name(provenance) == _name(target)


def _name(provenance: Provenance) -> str:
    """The name of a model without the place where it lies."""
    return str(provenance["model"]).rstrip("/").rpartition("/")[2].casefold()


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
            if small.provenance and small.provenance == second.provenance:
                second = small  # one model, loaded once
            origins = {"features": small, "reference_scores": second}
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
        """The pooled temperature that suited all training tasks of that model together."""
        if self.chosen is None:
            return self.record.pooled_temperature
        return float(self.thermometer.model_temperatures[self.chosen])

    @property
    def train_tasks(self) -> tuple[str, ...]:
        """Names of the tasks that it was trained on."""
        return tuple(self.record.train_tasks)

    @property
    def template(self) -> Template:
        """The template that rendered the prompts of the features in training."""
        return self.origins["features"].template

    @property
    def language_model(self) -> "LanguageModel":
        """The language model that gives features; loaded when first asked for."""
        return self.origins["features"].lm

    @property
    def reads(self) -> frozenset[str]:
        """What a prediction needs, of `features`, `scores` and `reference_scores`."""
        return self.thermometer.config.needs

    def with_language_model(self, lm: "LanguageModel", gives: str = "features") -> "Calibrator":
        """The same thermometer with a model that is loaded already.

        Args:
            lm: The model that the record names.
            gives: `features` or `reference_scores`; both where one model gave both in training.

        Raises:
            ValueError: If it is not the model of the training, or `gives` is unknown.
        """
        _checks.one_of("gives", gives, tuple(self.origins))
        old = self.origins[gives]
        new = Origin(old.name, old.provenance, lm)
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
        per: Per = "sample",
        answered_by: Mapping[str, Any] | None = None,
    ) -> Calibration:
        """Calibrated probabilities of the answering model's options.

        Args:
            prompts: As for `temperature`.
            scores: As for `temperature`, in the order of `prompts`.
            reference_scores: As for `temperature`.
            per: Divide each row by its own temperature (`sample`), or all rows of a task by the
                task's (`task`), which is the mean over its prompts. Those of a table are of the
                tasks that it names, all others of one.
            answered_by: Provenance of `scores`, to warn of another model; a table has its own.

        Returns:
            Temperatures, and probabilities if there are scores.

        Raises:
            ValueError: As `temperature`.
        """
        _checks.one_of("per", per, ("sample", "task"))
        given = _Given(prompts, scores, reference_scores, answered_by)
        inputs = self._inputs(given)
        with torch.inference_mode():
            groups = torch.from_numpy(given.groups)
            b = self.thermometer.predict(inputs, groups, self.model)
            sizes = torch.bincount(groups)
            means = {
                name: (sums_by_group(rows.double(), groups, len(sizes)) / sizes[:, None]).numpy()
                for name, rows in inputs.items()
            }
        points = ({name: of[task] for name, of in means.items()} for task in range(len(sizes)))
        return combined(
            b.double().numpy(),
            given.ids,
            given.scores,
            per,
            self.record.spread,
            list(map(self.record.domain.distances, points)),
            origin_warnings(self.record.targets, given.provenance) if self.chosen is None else (),
            None if given.table is None else given.table.tasks,
        )

    def update(
        self,
        prompts: Prompts | None,
        labels: ArrayLike,
        scores: ArrayLike | None = None,
        *,
        reference_scores: ArrayLike | None = None,
        per: Per = "sample",
    ) -> tuple[Calibration, FactorPosterior]:
        """Calibrate with a few labels of the task itself: prediction as prior, labels as evidence.

        Args:
            prompts: Of one task; these, `reference_scores` and `per` are as for `calibrate`.
            labels: (N,) integers, -1 where there is no label.
            scores: As for `calibrate`; needed.
            reference_scores: (N, K).
            per: `sample` or `task`.

        Returns:
            The calibration, all temperatures times one factor; and that factor with its interval,
            see `posterior.factor_posterior`. Without labels that of `calibrate`, and 1.

        Raises:
            ValueError: As `calibrate`; if there are no scores, or the training measured no spread.
        """
        known, spread = _Given(prompts, scores).scores, self.record.spread
        if known is None or not spread:
            raise _checks.fail("scores" if known is None else "spread", "known", None)
        prior = self.calibrate(prompts, scores, reference_scores=reference_scores, per=per)
        return updated(prior, known, labels, spread, per=per)

    def _inputs(self, given: "_Given") -> dict[str, Tensor]:
        """What the network reads of each prompt; language models run for what is missing.

        A `ValueError` if something that it reads is missing or of another origin, or N is 0.
        """
        if "scores" in self.reads and given.scores is None:
            raise _checks.fail("scores", "given, since this thermometer reads them", "None")
        if "features" in self.reads and given.prompts is None:
            raise _checks.fail("prompts", "given, since this thermometer reads features", "None")
        if not given.ids:
            name = "scores" if given.prompts is None else "prompts"
            raise _checks.fail(name, f"at least one {name.removesuffix('s')}", "none")
        features, reference = self._of_other_models(given)
        found = {"scores": given.scores, "features": features, "reference_scores": reference}
        return self.thermometer.inputs(
            **{name: None if v is None else torch.tensor(v) for name, v in found.items()},
            groups=torch.from_numpy(given.groups),
            models=self.model,
        )

    def _of_other_models(self, given: "_Given") -> tuple[NDArray[Any] | None, NDArray[Any] | None]:
        """Features and reference scores, as far as they are read."""
        for name in self.reads & set(self.origins):
            provenance = None if given.table is None else given.table.provenance.get(name)
            check_same_origin(name, self.origins[name].provenance, provenance)
        small, second = self.origins["features"], self.origins["reference_scores"]
        features: NDArray[Any] | None = None
        reference: NDArray[Any] | None = None
        if "reference_scores" in self.reads:
            reference = given.reference_scores
        second_runs = "reference_scores" in self.reads and reference is None
        if second_runs and not isinstance(given.prompts, Task):
            expected = "given, since this thermometer reads them and there is no task to ask about"
            raise _checks.fail("reference_scores", expected, "None")
        if "features" in self.reads and given.table is not None:
            features = given.table.require("features")
        elif "features" in self.reads:
            both = second_runs and small is second
            outputs = small.outputs(given.rendered(small.template), features=True, scores=both)
            features, reference = outputs.features, outputs.scores if both else reference
        if second_runs and reference is None:
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
        language_model: "LanguageModel | None" = None,
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
        from huggingface_hub import HfApi

        api = HfApi()
        with TemporaryDirectory() as folder:
            self.save_pretrained(path := Path(folder) / "checkpoint")
            url = api.create_repo(repository, private=private, exist_ok=True)
            api.upload_folder(repo_id=repository, folder_path=path)
        return str(url)


class _Given:
    """Prompts and scores as they were given, checked; a table gives what is not there."""

    def __init__(
        self,
        prompts: Prompts | None,
        scores: ArrayLike | None,
        reference_scores: ArrayLike | None = None,
        provenance: Provenance | None = None,
    ) -> None:
        if prompts is None and scores is None:
            raise _checks.fail("prompts", "given, since there are no `scores`", "None")
        self.prompts = prompts
        self.table: OutputTable | None = None
        ids: tuple[str, ...] | None = None
        if isinstance(prompts, OutputTable):
            self.table = table = prompts
            ids = table.ids
            if provenance is None and scores is None:
                provenance = table.provenance.get("scores")
            scores = table.scores if scores is None else scores
            if reference_scores is None:
                reference_scores = table.reference_scores
        elif isinstance(prompts, Task):
            ids = tuple(question.id for question in prompts.questions)
        elif prompts is not None:
            texts = _checks.strings("prompts", prompts)
            ids = tuple(f"prompt {number}" for number in range(1, len(texts) + 1))
        self.provenance = provenance
        self.scores = _matrix("scores", scores, ids)
        self.reference_scores = _matrix("reference_scores", reference_scores, ids)
        if ids is None:
            assert self.scores is not None
            ids = tuple(f"row {number}" for number in range(1, len(self.scores) + 1))
        self.ids = ids
        self.groups = np.zeros(len(ids), dtype=np.int64)  # the task of each prompt
        if self.table is not None:
            self.groups = np.unique(self.table.tasks, return_inverse=True)[1].astype(np.int64)

    def rendered(self, template: Template) -> list[Prompt]:
        """A task by the template; strings are complete prompts already."""
        if isinstance(self.prompts, Task):
            return template.render_task(self.prompts)
        if self.prompts is None or isinstance(self.prompts, OutputTable):
            raise _checks.fail("prompts", "a task or texts", type(self.prompts).__name__)
        pairs = zip(self.ids, self.prompts, strict=True)
        return [Prompt(identifier, text, chat=template.chat) for identifier, text in pairs]


def _matrix(
    name: str, scores: ArrayLike | None, ids: tuple[str, ...] | None
) -> NDArray[np.float64] | None:
    """Checked scores, one row for each id."""
    if scores is None:
        return None
    matrix = _checks.score_matrix(name, scores)
    if ids is not None and len(matrix) != len(ids):
        raise _checks.fail(name, f"of length {len(ids)} (as `prompts`)", len(matrix))
    return matrix
