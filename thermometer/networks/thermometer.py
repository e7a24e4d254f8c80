"""The thermometer: light networks from what is known of a question to a temperature.

A pure `nn.Module` on numbers; it knows neither language models nor training. Internally it speaks
in b = -log temperature, so that every output is a positive temperature by construction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, cast

import torch
from torch import Tensor, nn

from thermometer import _checks
from thermometer.networks.components import principal_components
from thermometer.networks.config import ThermometerConfig as ThermometerConfig
from thermometer.networks.member import Member
from thermometer.networks.score_inputs import ScoreInputs
from thermometer.networks.view import say_together


class Thermometer(nn.Module):
    """Predicts one temperature per row.

    It may know several answering models. Scores are divided by the one temperature of their model,
    t_a, before anything is read of them, and what the members say is about scores on the common
    scale of the anchor, the geometric mean of the t_a: b_a = b - log(t_a / anchor).

    Args:
        config: Shape of the network.
        n_features: Width D of the features; 0 if no view reads them.
        n_models: Number A of answering models.

    Raises:
        ValueError: If there are more components than features, or features are read but have no
            width.

    Example:
        >>> config = ThermometerConfig(n_components=4)
        >>> thermometer = Thermometer(config, n_features=8)
        >>> thermometer(torch.zeros(3, 8), torch.randn(3, 5)).shape
        torch.Size([3])
    """

    shift: Tensor
    projection: Tensor
    references: Tensor
    reference_temperatures: Tensor
    anchor: Tensor
    trust: Tensor
    model_shift: Tensor
    model_gain: Tensor

    def __init__(self, config: ThermometerConfig, n_features: int = 0, n_models: int = 1) -> None:
        super().__init__()
        self.config = config
        self.n_models = _checks.integer("n_models", n_models)
        self.register_buffer("references", torch.ones(n_models))
        self.register_buffer("anchor", torch.ones(()))
        self.register_buffer("trust", torch.ones(n_models))
        reads_features = "features" in config.sources
        self.n_features = _checks.integer("n_features", n_features, minimum=int(reads_features))
        if reads_features and config.n_components > n_features:
            raise _checks.fail("n_components", f"at most {n_features}", config.n_components)
        width = config.n_components or n_features
        if reads_features and config.n_components:
            self.register_buffer("shift", torch.zeros(n_features))
            self.register_buffer("projection", torch.eye(width, n_features))
        if "scores" in config.needs:
            self.score_inputs = ScoreInputs(config.sources - {"features"}, n_models)
        if "reference" in config.sources:
            self.register_buffer("reference_temperatures", torch.ones(n_models))
        if "model" in config.sources:
            self.register_buffer("model_shift", torch.zeros(()))
            self.register_buffer("model_gain", torch.zeros(()))
        self.member_views = tuple(view for view in config.views for _ in range(config.n_members))
        self.members = nn.ModuleList(Member(config, view, width) for view in self.member_views)

    def __repr__(self) -> str:
        return f"Thermometer({self.config}, n_features={self.n_features}, n_models={self.n_models})"

    def architecture(self) -> dict[str, Any]:
        """What `from_architecture` needs to build the same network, as JSON values."""
        sizes = {"n_features": self.n_features, "n_models": self.n_models}
        return {**sizes, **asdict(self.config), "views": list(self.config.views)}

    @classmethod
    def from_architecture(cls, architecture: dict[str, Any]) -> "Thermometer":
        """The inverse of `architecture`; missing and unknown keys raise `ValueError`."""
        expected = {"n_features", "n_models", *ThermometerConfig.__dataclass_fields__}
        if differing := sorted(expected ^ set(architecture)):
            raise _checks.fail("network", f"the keys {sorted(expected)}", f"{differing} amiss")
        fields = dict(architecture)
        sizes = fields.pop("n_features"), fields.pop("n_models")
        return cls(ThermometerConfig(**fields), *sizes)

    def components(self, features: Tensor) -> Tensor:
        """(N, D) features as the (N, R) float32 inputs of the members; constant in training."""
        if features.ndim != 2 or features.shape[1] != self.n_features:
            raise _checks.fail(
                "features", f"of shape (N, {self.n_features})", f"shape {tuple(features.shape)}"
            )
        features = features.float()
        if not self.config.n_components:
            return features
        return (features - self.shift) @ self.projection.T

    def inputs(
        self,
        features: Tensor | None = None,
        scores: Tensor | None = None,
        groups: Tensor | None = None,
        models: Tensor | int = 0,
        reference_scores: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """The numbers of each source that a view reads, (N, ...) float32.

        Args:
            features: As for `forward`.
            scores: As for `forward`.
            groups: As for `forward`.
            models: The answering model of each row, (N,) int64, or of all.
            reference_scores: As for `forward`.

        Raises:
            ValueError: If a source is read and what it is made of is missing or of another shape.
        """
        given = {
            "features": features,
            "scores": scores,
            "reference_scores": reference_scores,
        }
        needed = self.config.needs
        for name in sorted(needed):
            if given[name] is None:
                raise _checks.fail(name, f"given, since this thermometer reads {name}", "None")
        found = {}
        if features is not None and "features" in needed:
            found["features"] = self.components(features)
        if scores is not None and "scores" in needed:
            if features is not None and "features" in needed and len(features) != len(scores):
                raise _checks.fail("scores", f"of length {len(features)}", len(scores))
            if groups is None:
                groups = torch.zeros(len(scores), dtype=torch.int64, device=scores.device)
            z = scores.float() / self.references[models][..., None]
            other = self._other(reference_scores, models)
            found |= self.score_inputs(z, groups, models, other)
        if "model" in self.config.sources:
            n_rows = len(next(iter(found.values())))
            found["model"] = self._overconfidence(models).expand(n_rows, 1)
        return found

    def _overconfidence(self, models: Tensor | int) -> Tensor:
        """(N, 1) or (1,) log t of answering models, from -2 for the least of the training to 2."""
        number = (self.references[models].log() - self.model_shift) * self.model_gain
        return number.clamp(-2, 2)[..., None]

    def _other(self, reference_scores: Tensor | None, models: Tensor | int) -> Tensor | None:
        """Scores of the reference model over its temperature, if they are read."""
        if reference_scores is None or "reference" not in self.config.sources:
            return None
        return reference_scores.float() / self.reference_temperatures[models][..., None]

    def forward(
        self,
        features: Tensor | None = None,
        scores: Tensor | None = None,
        groups: Tensor | None = None,
        model: int = 0,
        reference_scores: Tensor | None = None,
    ) -> Tensor:
        """Temperatures: exp of minus the mean b of the replicas.

        Args:
            features: (N, D), any float dtype; needed if a view reads features.
            scores: (N, K) unnormalised scores of the answering model, ``-inf`` in short rows;
                needed if a view reads anything but features.
            groups: (N,) int64 from 0, the task of each row; one by default.
            model: Number of the answering model.
            reference_scores: (N, K) unnormalised scores of the same options by the reference
                model; needed if a view reads `reference`.

        Returns:
            (N,) float32, > 0; in [1/1000, 1000] where there is one answering model.

        Raises:
            ValueError: If something that is read is missing, or of another width than in training.
        """
        inputs = self.inputs(features, scores, groups, model, reference_scores)
        b = self.predict(inputs, groups, model)
        return b.mean(dim=0).neg().exp()

    def predict(
        self, inputs: Mapping[str, Tensor], groups: Tensor | None = None, model: int = 0
    ) -> Tensor:
        """(M, N) b of M replicas, each of one member of every view; b itself is their mean.

        A replica says the mean of what its members say. For an answering model of temperature t_a,
        that is drawn towards -log anchor as far as it is not trusted, less log(t_a / anchor).
        """
        b = self._at_once(inputs, _given(groups, inputs)).mean(dim=0)
        offset = (self.references[model] / self.anchor).log()
        if self.trust[model] != 1:
            start = -self.anchor.log()
            b = start + self.trust[model] * (b - start)
        return b - offset

    def predict_views(self, inputs: Mapping[str, Tensor], groups: Tensor | None = None) -> Tensor:
        """(V, M, N) b of every member, by view, as in training; groups as for `forward`."""
        groups = _given(groups, inputs)
        found = torch.stack([member(inputs, groups) for member in self.members])
        return found.reshape(len(self.config.views), self.config.n_members, -1)

    def _at_once(self, inputs: Mapping[str, Tensor], groups: Tensor) -> Tensor:
        """What `predict_views` says, sooner and but for rounding."""
        if self.training:  # with dropout
            return self.predict_views(inputs, groups)
        members, size = cast(list[Member], list(self.members)), self.config.n_members
        views = [members[start : start + size] for start in range(0, len(members), size)]
        return torch.stack([say_together(view, inputs, groups) for view in views])

    @torch.no_grad()
    def fit_inputs(
        self,
        features: Tensor | None,
        scores: Tensor | None,
        groups: Tensor | None,
        temperatures: float | Sequence[float],
        models: Tensor | None = None,
        reference_scores: Tensor | None = None,
        reference_temperatures: float | Sequence[float] = 1.0,
    ) -> None:
        """Learn the scale of what is read from the training rows, before any member is trained.

        Args:
            features: (N, D); more rows than components.
            scores: (N, K).
            groups: (N,) int64 from 0, the task of each row, other numbers for each model.
            temperatures: The one temperature that suits the scores, of each model.
            models: (N,) int64, the answering model of each row; the first by default.
            reference_scores: (N, K).
            reference_temperatures: The one that suits them, for each answering model.
        """
        self.set_references(temperatures)
        if "features" in self.config.sources and self.config.n_components:
            assert features is not None
            shift, projection = principal_components(
                features, self.config.n_components, self.config.whitening
            )
            self.shift.copy_(shift)
            self.projection.copy_(projection)
        if "scores" in self.config.needs:
            assert scores is not None
            assert groups is not None
            if models is None:
                models = torch.zeros(len(scores), dtype=torch.int64)
            z = scores.float() / self.references[models][:, None]
            if "reference" in self.config.sources:
                of_models = torch.tensor(reference_temperatures, dtype=torch.float64)
                self.reference_temperatures.copy_(of_models.reshape(self.n_models))
            self.score_inputs.fit(z, groups, models, self._other(reference_scores, models))

    def set_references(self, temperatures: float | Sequence[float]) -> None:
        """Set the temperature of each answering model, and with them the anchor."""
        of_models = torch.tensor(temperatures, dtype=torch.float64).reshape(self.n_models)
        self.references.copy_(of_models)
        # One model is its own anchor to the last bit.
        self.anchor.copy_(of_models.log().mean().exp() if self.n_models > 1 else of_models[0])
        if "model" in self.config.sources:
            lowest, highest = of_models.log().aminmax()
            self.model_shift.copy_((lowest + highest) / 2)
            # Of one model, or several alike, there is nothing to tell: the number is 0.
            apart = highest - lowest
            self.model_gain.copy_(torch.where(apart > 1e-4, 4 / apart, 0.0))


def _given(groups: Tensor | None, inputs: Mapping[str, Tensor]) -> Tensor:
    """Groups, or one for all rows."""
    if groups is not None:
        return groups
    some = next(iter(inputs.values()))
    return torch.zeros(len(some), dtype=torch.int64, device=some.device)
