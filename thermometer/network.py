"""The thermometer: a light network from a feature vector to a temperature.

A pure `nn.Module` on vectors; it knows neither language models nor training. Internally it speaks
in b = -log temperature, so that every output is a positive temperature by construction.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from thermometer import _checks

LIMIT = math.log(1e3)
"""Temperatures stay within [1/1000, 1000]: beyond, probabilities are one-hot or uniform anyway."""


@dataclass(frozen=True)
class ThermometerConfig:
    """Shape of the network.

    Args:
        n_components: Project standardised features on so many principal components, scaled to unit
            variance; 0 hands the raw features to the network, as the paper does.
        n_branches: Number of parallel two-layer branches; their outputs are combined linearly.
        hidden_size: Width of each branch.
        activation: `relu` or `silu`.
        dropout: Of the input components and of hidden units, in training only.
        output: What the network's last number is: `log`, b itself, or `softplus`, the inverse
            temperature before a softplus, as in the paper.

    Raises:
        ValueError: For numbers out of range or unknown names.
    """

    n_components: int = 32
    n_branches: int = 1
    hidden_size: int = 64
    activation: Literal["relu", "silu"] = "silu"
    dropout: float = 0.3
    output: Literal["log", "softplus"] = "log"

    def __post_init__(self) -> None:
        _checks.integer("n_components", self.n_components, minimum=0)
        _checks.integer("n_branches", self.n_branches)
        _checks.integer("hidden_size", self.hidden_size)
        _checks.one_of("activation", self.activation, ("relu", "silu"))
        _checks.number("dropout", self.dropout, 0.0, 0.95)
        _checks.one_of("output", self.output, ("log", "softplus"))

    @classmethod
    def paper(cls, hidden_size: int = 256) -> "ThermometerConfig":
        """Shen et al. (ICML 2024): three ReLU branches on raw features, softplus of 1/temperature.

        The authors take width 256 for features of 2,048 and 512 for features of 4,096.
        """
        return cls(
            n_components=0,
            n_branches=3,
            hidden_size=hidden_size,
            activation="relu",
            dropout=0.0,
            output="softplus",
        )


class Thermometer(nn.Module):
    """Predicts one temperature per feature vector.

    Args:
        config: Shape of the network.
        n_features: Width D of the features.

    Raises:
        ValueError: If there are more components than features.

    Example:
        >>> thermometer = Thermometer(ThermometerConfig(n_components=4), n_features=8)
        >>> thermometer(torch.zeros(3, 8)).shape
        torch.Size([3])
    """

    shift: Tensor
    projection: Tensor

    def __init__(self, config: ThermometerConfig, n_features: int) -> None:
        super().__init__()
        self.config = config
        self.n_features = _checks.integer("n_features", n_features)
        if config.n_components > n_features:
            raise _checks.fail("n_components", f"at most {n_features}", config.n_components)
        width = config.n_components or n_features
        if config.n_components:
            self.register_buffer("shift", torch.zeros(n_features))
            self.register_buffer("projection", torch.eye(width, n_features))
        activation = nn.ReLU if config.activation == "relu" else nn.SiLU
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Dropout(config.dropout),
                nn.Linear(width, config.hidden_size),
                activation(),
                nn.Dropout(config.dropout),
                nn.Linear(config.hidden_size, 1),
            )
            for _ in range(config.n_branches)
        )
        self.combine = nn.Linear(config.n_branches, 1)

    def extra_repr(self) -> str:
        """The arguments that made it."""
        return f"{self.config}, n_features={self.n_features}"

    def architecture(self) -> dict[str, Any]:
        """What `from_architecture` needs to build the same network, as JSON values."""
        return {"n_features": self.n_features, **asdict(self.config)}

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
        """(N, D) features as the (N, R) float32 inputs of the branches; constant in training."""
        features = features.float()
        if not self.config.n_components:
            return features
        return (features - self.shift) @ self.projection.T

    def log_inverse(self, components: Tensor) -> Tensor:
        """(N,) b = -log temperature from the output of `components`."""
        outputs = torch.cat([branch(components) for branch in self.branches], dim=1)
        value: Tensor = self.combine(outputs).squeeze(1)
        if self.config.output == "softplus":
            # log softplus(z) is z for very negative z, where softplus itself would underflow.
            safe = nn.functional.softplus(value.clamp(min=-20)).log()
            value = torch.where(value < -20, value, safe)
        return LIMIT * torch.tanh(value / LIMIT) if self.config.output == "log" else value.clamp(-LIMIT, LIMIT)

    def forward(self, features: Tensor) -> Tensor:
        """Temperatures.

        Args:
            features: (N, D), any float dtype.

        Returns:
            (N,) float32, in [1/1000, 1000].

        Raises:
            ValueError: If the width is not D.
        """
        if features.ndim != 2 or features.shape[1] != self.n_features:
            raise _checks.fail(
                "features", f"of shape (N, {self.n_features})", f"shape {tuple(features.shape)}"
            )
        return torch.exp(-self.log_inverse(self.components(features)))

    @torch.no_grad()
    def fit_components(self, features: Tensor) -> None:
        """Set the projection from the training features: standardise, rotate, scale, cut.

        Args:
            features: (N, D); at least as many rows as components.
        """
        if not self.config.n_components:
            return
        if len(features) <= self.config.n_components:
            raise _checks.fail(
                "features", f"more than {self.config.n_components} rows", f"{len(features)}"
            )
        data = features.double()
        shift, scale = data.mean(dim=0), data.std(dim=0).clamp(min=1e-8)
        covariance = ((data - shift) / scale).T.cov()
        values, vectors = torch.linalg.eigh(covariance)
        kept = vectors[:, -self.config.n_components :] / values[-self.config.n_components :].clamp(min=1e-12).sqrt()
        signs = kept.abs().argmax(dim=0)  # eigenvectors have no sign: fix one
        kept = kept * kept[signs, torch.arange(kept.shape[1])].sign()
        self.shift.copy_(shift)
        self.projection.copy_((kept / scale[:, None]).T.flip(0))
