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
        n_components: Project standardised features on so many principal components; 0 hands the
            raw features to the network, as the paper does.
        whitening: How far the variances of the components are equalised: v becomes v^(1-whitening),
            then scaled to 1 on average, so that 0 leaves them as they are and 1 makes all equal.
        n_members: Number of networks, trained apart, whose b is averaged.
        n_branches: Parallel two-layer branches of a member; their outputs are combined linearly.
        hidden_size: Width of each branch.
        activation: `relu` or `silu`.
        dropout: Of hidden units, and half as much of the input components; in training only.
        output: What a member's last number is: `log`, b itself, or `softplus`, the inverse
            temperature before a softplus, as in the paper.

    Raises:
        ValueError: For numbers out of range or unknown names.
    """

    n_components: int = 64
    whitening: float = 0.5
    n_members: int = 5
    n_branches: int = 1
    hidden_size: int = 64
    activation: Literal["relu", "silu"] = "silu"
    dropout: float = 0.5
    output: Literal["log", "softplus"] = "log"

    def __post_init__(self) -> None:
        plain = {  # numpy's numbers would not go into a checkpoint
            "n_components": _checks.integer("n_components", self.n_components, minimum=0),
            "whitening": _checks.number("whitening", self.whitening, 0.0, 1.0),
            "n_members": _checks.integer("n_members", self.n_members),
            "n_branches": _checks.integer("n_branches", self.n_branches),
            "hidden_size": _checks.integer("hidden_size", self.hidden_size),
            "dropout": _checks.number("dropout", self.dropout, 0.0, 0.95),
        }
        _checks.one_of("activation", self.activation, ("relu", "silu"))
        _checks.one_of("output", self.output, ("log", "softplus"))
        for name, value in plain.items():
            object.__setattr__(self, name, value)

    @classmethod
    def paper(cls, hidden_size: int = 256) -> "ThermometerConfig":
        """Shen et al. (ICML 2024): three ReLU branches on raw features, softplus of 1/temperature.

        The authors take width 256 for features of 2,048 and 512 for features of 4,096.
        """
        return cls(
            n_components=0,
            n_members=1,
            n_branches=3,
            hidden_size=hidden_size,
            activation="relu",
            dropout=0.0,
            output="softplus",
        )


class Member(nn.Module):
    """One network from components to b = -log temperature."""

    def __init__(self, config: ThermometerConfig, width: int) -> None:
        super().__init__()
        self._output = config.output
        activation = nn.ReLU if config.activation == "relu" else nn.SiLU
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Dropout(config.dropout / 2),
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

    def forward(self, components: Tensor) -> Tensor:
        """(N, R) to (N,) b, within [-LIMIT, LIMIT]."""
        outputs = torch.cat([branch(components) for branch in self.branches], dim=1)
        value: Tensor = self.combine(outputs).squeeze(1)
        if self._output == "log":
            return LIMIT * torch.tanh(value / LIMIT)
        # log softplus(z) is z for very negative z, where softplus itself would underflow.
        log_softplus = nn.functional.softplus(value.clamp(min=-20)).log()
        return torch.where(value < -20, value, log_softplus).clamp(-LIMIT, LIMIT)


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
        self.members = nn.ModuleList(Member(config, width) for _ in range(config.n_members))

    def __repr__(self) -> str:
        return f"Thermometer({self.config}, n_features={self.n_features})"

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
        """(N, D) features as the (N, R) float32 inputs of the members; constant in training."""
        features = features.float()
        if not self.config.n_components:
            return features
        return (features - self.shift) @ self.projection.T

    def forward(self, features: Tensor) -> Tensor:
        """Temperatures: exp of minus the mean b of the members.

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
        components = self.components(features)
        return torch.stack([member(components) for member in self.members]).mean(dim=0).neg().exp()

    @torch.no_grad()
    def fit_components(self, features: Tensor) -> None:
        """Set the projection from the training features: standardise, rotate, scale, cut.

        By randomised PCA, whose random start comes from torch's global generator: a full
        eigendecomposition of 4,096 features would take longer than the training.

        Args:
            features: (N, D); more rows than components.
        """
        size = self.config.n_components
        if not size:
            return
        if len(features) <= size:
            raise _checks.fail("features", f"more than {size} rows (n_components)", len(features))
        data = features.float()
        shift, scale = data.mean(dim=0), data.std(dim=0)
        # What is constant but for rounding says nothing, and dividing by it would say very much.
        scale = scale.where(scale > 1e-6 * shift.abs().clamp(min=1e-6), torch.inf)
        data = (data - shift) / scale
        oversampled = min(size + 16, *data.shape)
        _, values, vectors = torch.pca_lowrank(data, q=oversampled, center=False, niter=4)
        spread = values[:size] / math.sqrt(len(data))
        real = spread > 1e-4 * spread[0]
        wanted = spread ** (1 - self.config.whitening)
        gain = (wanted / wanted[real].square().mean().sqrt() / spread).where(real, 0.0)
        self.shift.copy_(shift)
        self.projection.copy_((vectors[:, :size] * gain / scale[:, None]).T)
