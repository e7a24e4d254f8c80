"""The thermometer: light networks from what is known of a question to a temperature.

A pure `nn.Module` on numbers; it knows neither language models nor training. Internally it speaks
in b = -log temperature, so that every output is a positive temperature by construction.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from thermometer import _checks
from thermometer.components import principal_components
from thermometer.network_config import ThermometerConfig as ThermometerConfig
from thermometer.score_inputs import ScoreInputs
from thermometer.score_statistics import N_CONTEXT, N_SAMPLE

LIMIT = math.log(1e3)
"""Temperatures stay within [1/1000, 1000]: beyond, probabilities are one-hot or uniform anyway."""


class Member(nn.Module):
    """One network from the inputs of its view to b = -log temperature."""

    def __init__(self, config: ThermometerConfig, width: int) -> None:
        super().__init__()
        self._output = config.output
        activation = nn.ReLU if config.activation == "relu" else nn.SiLU
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Dropout(config.input_dropout),
                nn.Linear(width, config.hidden_size),
                activation(),
                nn.Dropout(config.dropout),
                nn.Linear(config.hidden_size, 1),
            )
            for _ in range(config.n_branches)
        )
        self.combine = nn.Linear(config.n_branches, 1)

    @torch.no_grad()
    def start_at(self, temperature: float) -> None:
        """Make the untrained network predict one temperature for everything.

        The paper's network starts at random, and so does any with a `softplus` output.
        """
        if self._output == "log":
            for branch in self.branches:
                branch[-1].weight.zero_()  # type: ignore[index]
                branch[-1].bias.zero_()  # type: ignore[index]
            self.combine.bias.fill_(LIMIT * math.atanh(-math.log(temperature) / LIMIT))

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, R) to (N,) b, within [-LIMIT, LIMIT]."""
        outputs = torch.cat([branch(inputs) for branch in self.branches], dim=1)
        value: Tensor = self.combine(outputs).squeeze(1)
        if self._output == "log":
            return LIMIT * torch.tanh(value / LIMIT)
        # log softplus(z) is z for very negative z, where softplus itself would underflow.
        log_softplus = nn.functional.softplus(value.clamp(min=-20)).log()
        return torch.where(value < -20, value, log_softplus).clamp(-LIMIT, LIMIT)


class Thermometer(nn.Module):
    """Predicts one temperature per row.

    Args:
        config: Shape of the network.
        n_features: Width D of the features; 0 if no view reads them.

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
    start: Tensor
    view_weights: Tensor

    def __init__(self, config: ThermometerConfig, n_features: int = 0) -> None:
        super().__init__()
        self.config = config
        reads_features = "features" in config.sources
        self.n_features = _checks.integer("n_features", n_features, minimum=int(reads_features))
        if reads_features and config.n_components > n_features:
            raise _checks.fail("n_components", f"at most {n_features}", config.n_components)
        width = config.n_components or n_features
        if reads_features and config.n_components:
            self.register_buffer("shift", torch.zeros(n_features))
            self.register_buffer("projection", torch.eye(width, n_features))
        if "scores" in config.needs:
            self.score_inputs = ScoreInputs()
        widths = {"features": width, "scores": N_SAMPLE, "context": N_CONTEXT}
        if config.weighs:
            n_views = len(config.views)
            self.register_buffer("start", torch.zeros(()))
            self.register_buffer("view_weights", torch.full((n_views,), 1 / n_views))
        self.member_views = tuple(view for view in config.views for _ in range(config.n_members))
        self.members = nn.ModuleList(
            Member(config, sum(widths[source] for source in view.split("+")))
            for view in self.member_views
        )

    def __repr__(self) -> str:
        return f"Thermometer({self.config}, n_features={self.n_features})"

    def architecture(self) -> dict[str, Any]:
        """What `from_architecture` needs to build the same network, as JSON values."""
        fields = asdict(self.config)
        return {"n_features": self.n_features, **fields, "views": list(self.config.views)}

    @classmethod
    def from_architecture(cls, architecture: dict[str, Any]) -> "Thermometer":
        """The inverse of `architecture`; missing and unknown keys raise `ValueError`."""
        expected = {"n_features", *ThermometerConfig.__dataclass_fields__}
        if differing := sorted(expected ^ set(architecture)):
            raise _checks.fail("network", f"the keys {sorted(expected)}", f"{differing} amiss")
        fields = dict(architecture)
        n_features = fields.pop("n_features")
        return cls(ThermometerConfig(**fields), n_features)

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
    ) -> dict[str, Tensor]:
        """The numbers of each source that a view reads, (N, ...) float32.

        Raises:
            ValueError: If a source is read and what it is made of is missing or of another shape.
        """
        given = {"features": features, "scores": scores}
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
            if "context" not in self.config.sources:
                found["scores"] = self.score_inputs.sample(scores)
                return found
            if groups is None:
                groups = torch.zeros(len(scores), dtype=torch.int64, device=scores.device)
            found["scores"], found["context"] = self.score_inputs.both(scores, groups)
        return found

    def forward(
        self,
        features: Tensor | None = None,
        scores: Tensor | None = None,
        groups: Tensor | None = None,
    ) -> Tensor:
        """Temperatures: exp of minus the mean b of the replicas.

        Args:
            features: (N, D), any float dtype; needed if a view reads features.
            scores: (N, K) unnormalised scores of the answering model, ``-inf`` in short rows;
                needed if a view reads scores or context.
            groups: (N,) int64 from 0, the task of each row, for the context; one by default.

        Returns:
            (N,) float32, in [1/1000, 1000].

        Raises:
            ValueError: If something that is read is missing, or of another width than in training.
        """
        b = self.predict(self.inputs(features, scores, groups))
        return b.mean(dim=0).neg().exp()

    def predict(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """(M, N) b of M replicas, each of one member of every view; b itself is their mean.

        With b_v what a member of view v says, w_v the weight of the view and a the b that suited
        all training tasks, a replica says a + sum_v w_v (b_v - a), or the mean of the b_v where
        views are not weighed.
        """
        return self.weigh(self.predict_views(inputs))

    def weigh(self, of_views: Tensor) -> Tensor:
        """(V, M, N) b of every member as the (M, N) b of replicas, see `predict`."""
        if not self.config.weighs:
            return of_views.mean(dim=0)
        weights = self.view_weights[:, None, None]
        return (self.start + (weights * (of_views - self.start)).sum(dim=0)).clamp(-LIMIT, LIMIT)

    def predict_views(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """(V, M, N) b of every member, by view."""
        found = [
            member(select(inputs, view))
            for member, view in zip(self.members, self.member_views, strict=True)
        ]
        shape = (len(self.config.views), self.config.n_members, -1)
        return torch.stack(found).reshape(shape)

    @torch.no_grad()
    def fit_inputs(
        self,
        features: Tensor | None,
        scores: Tensor | None,
        groups: Tensor | None,
        reference: float,
    ) -> None:
        """Learn the scale of what is read from the training rows, before any member is trained.

        Args:
            features: (N, D); more rows than components.
            scores: (N, K).
            groups: (N,) int64 from 0, the task of each row.
            reference: The one temperature that suits the scores.
        """
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
            self.score_inputs.fit(scores, groups, reference)


def select(inputs: Mapping[str, Tensor], view: str) -> Tensor:
    """(N, R) what a member of one view reads."""
    return torch.cat([inputs[source] for source in view.split("+")], dim=1)
