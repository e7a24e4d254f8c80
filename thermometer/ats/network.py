"""The ATS head: a light network from hidden states of tokens to a temperature of each token.

A pure `nn.Module` on tensors; it knows neither language models nor training. As in `network`, it
speaks in b = -log temperature inside, so that every output is a positive temperature.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from thermometer import _checks
from thermometer.networks.member import LIMIT

KINDS = ("transformer", "mlp", "linear")
EPSILON = 1e-6
ROPE_BASE = 10_000.0


@dataclass(frozen=True)
class AtsConfig:
    """Shape of the head; the defaults are those of Xie et al. (EMNLP 2024), see docs/ats.md.

    Args:
        kind: What stands before the last linear layer: a decoder block as in Llama
            (`transformer`), the same without attention (`mlp`), or nothing (`linear`).
        head_size: Width of an attention head, even; divides the width D of the hidden states.
        hidden_size: Width of the gated part; 0 for Llama's rule, 8/3 D rounded up to a multiple
            of 256: 11,008 for D of 4,096, as published.
        max_inverse: Largest inverse temperature.

    Raises:
        ValueError: For numbers out of range or an unknown kind.
    """

    kind: Literal["transformer", "mlp", "linear"] = "transformer"
    head_size: int = 64
    hidden_size: int = 0
    max_inverse: float = 10.0

    def __post_init__(self) -> None:
        _checks.one_of("kind", self.kind, KINDS)
        plain = {  # numpy's numbers would not go into a checkpoint
            "head_size": _checks.integer("head_size", self.head_size, minimum=2),
            "hidden_size": _checks.integer("hidden_size", self.hidden_size, minimum=0),
            "max_inverse": _checks.number("max_inverse", self.max_inverse, 1.0, 1e3),
        }
        if self.head_size % 2:
            raise _checks.fail("head_size", "even", self.head_size)
        for name, value in plain.items():
            object.__setattr__(self, name, value)

    def gated_size(self, n_features: int) -> int:
        """Width of the gated part for hidden states of width D.

        Example:
            >>> AtsConfig().gated_size(4096), AtsConfig().gated_size(576)
            (11008, 1536)
        """
        return self.hidden_size or 256 * math.ceil(8 * n_features / 3 / 256)


class RmsNorm(nn.Module):
    """x / sqrt(mean(x^2) + 1e-6) times a learned gain, computed in at least float32."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) to (..., D)."""
        wide = x if x.dtype == torch.float64 else x.float()
        scale = (wide.square().mean(dim=-1, keepdim=True) + EPSILON).rsqrt()
        return (wide * scale).to(x.dtype) * self.weight


class Attention(nn.Module):
    """Causal self-attention with rotary positions, no biases."""

    def __init__(self, width: int, head_size: int) -> None:
        super().__init__()
        self._head_size = head_size
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.output = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, L, D) and (B, L) bool of real tokens to (B, L, D)."""
        B, L, D = x.shape
        angles = _angles((mask.cumsum(dim=1) - 1).clamp(min=0), self._head_size)
        query, key, value = (
            layer(x).view(B, L, -1, self._head_size).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        causal = torch.ones(L, L, dtype=torch.bool, device=x.device).tril()
        itself = torch.eye(L, dtype=torch.bool, device=x.device)  # else padding has no key: NaN
        seen = (causal & mask[:, None, :]) | itself
        mixed = F.scaled_dot_product_attention(
            _rotated(query, angles), _rotated(key, angles), value, attn_mask=seen[:, None]
        )
        found: Tensor = self.output(mixed.transpose(1, 2).reshape(B, L, D))
        return found


class Gated(nn.Module):
    """SwiGLU: down(silu(gate(x)) * up(x)), no biases."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) to (..., D)."""
        found: Tensor = self.down(F.silu(self.gate(x)) * self.up(x))
        return found


class Block(nn.Module):
    """A decoder block of Llama: both parts read a normed input and add to the stream.

    Without attention if `head_size` is 0.
    """

    def __init__(self, width: int, hidden: int, head_size: int) -> None:
        super().__init__()
        self.attention = Attention(width, head_size) if head_size else None
        self.attention_norm = RmsNorm(width) if head_size else None
        self.gated_norm = RmsNorm(width)
        self.gated = Gated(width, hidden)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=0.02)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, L, D) and (B, L) bool of real tokens to (B, L, D)."""
        if self.attention is not None and self.attention_norm is not None:
            x = x + self.attention(self.attention_norm(x), mask)
        found: Tensor = x + self.gated(self.gated_norm(x))
        return found


class AtsHead(nn.Module):
    """Predicts a temperature for every token from the hidden states up to it.

    An untrained head predicts temperature 1 everywhere.

    Args:
        config: Shape of the head.
        n_features: Width D of the hidden states.

    Raises:
        ValueError: If `head_size` does not divide D.

    Example:
        >>> head = AtsHead(AtsConfig(head_size=4, hidden_size=16), n_features=8)
        >>> head(torch.randn(2, 3, 8))
        tensor([[1., 1., 1.],
                [1., 1., 1.]], grad_fn=<ExpBackward0>)
    """

    def __init__(self, config: AtsConfig, n_features: int) -> None:
        super().__init__()
        self.config = config
        self.n_features = _checks.integer("n_features", n_features)
        self.block: Block | None = None
        if config.kind != "linear":
            head_size = config.head_size if config.kind == "transformer" else 0
            if head_size and n_features % head_size:
                raise _checks.fail("head_size", f"a divisor of {n_features}", head_size)
            self.block = Block(n_features, config.gated_size(n_features), head_size)
        self.output = nn.Linear(n_features, 1)
        self.start_at(1.0)

    def __repr__(self) -> str:
        return f"AtsHead({self.config}, n_features={self.n_features})"

    def architecture(self) -> dict[str, Any]:
        """What `from_architecture` needs to build the same head, as JSON values."""
        return {"n_features": self.n_features, **asdict(self.config)}

    @classmethod
    def from_architecture(cls, architecture: dict[str, Any]) -> "AtsHead":
        """The inverse of `architecture`; missing and unknown keys raise `ValueError`."""
        expected = {"n_features", *AtsConfig.__dataclass_fields__}
        if differing := sorted(expected ^ set(architecture)):
            raise _checks.fail("network", f"the keys {sorted(expected)}", f"{differing} amiss")
        fields = dict(architecture)
        n_features = fields.pop("n_features")
        return cls(AtsConfig(**fields), n_features)

    @torch.no_grad()
    def start_at(self, temperature: float) -> None:
        """Make the head predict one temperature for everything."""
        self.output.weight.zero_()
        self.output.bias.fill_(-math.log(temperature))

    def log_inverse(self, hidden: Tensor, mask: Tensor | None = None) -> Tensor:
        """As `forward`, but b = -log temperature; 0 at padding."""
        if hidden.ndim != 3 or hidden.shape[2] != self.n_features:
            raise _checks.fail(
                "hidden", f"of shape (B, L, {self.n_features})", f"shape {tuple(hidden.shape)}"
            )
        if mask is None:
            mask = torch.ones(hidden.shape[:2], device=hidden.device)
        elif mask.shape != hidden.shape[:2]:
            raise _checks.fail(
                "mask", f"of shape {tuple(hidden.shape[:2])}", f"shape {tuple(mask.shape)}"
            )
        mask = mask.bool()
        x = hidden.to(self.output.weight.dtype)
        if self.block is not None:
            x = self.block(x, mask)
        # Not the layer itself: mixed precision would round its result.
        value = (x.to(self.output.weight.dtype) * self.output.weight[0]).sum(dim=2)
        value = (value + self.output.bias).clamp(-LIMIT, math.log(self.config.max_inverse))
        return value.masked_fill(~mask, 0.0)

    def forward(self, hidden: Tensor, mask: Tensor | None = None) -> Tensor:
        """Temperatures 1 / min(exp(head), max_inverse), as published, and at most 1,000.

        Args:
            hidden: (B, L, D) last hidden states of the language model, any float dtype.
            mask: (B, L), 1 for real tokens and 0 for padding on either side; all real by default.
                What stands at padding never matters.

        Returns:
            (B, L) in the dtype of the head, > 0; 1 at padding. A token's temperature depends on it
            and the tokens before it only.

        Raises:
            ValueError: For shapes that do not fit.
        """
        return self.log_inverse(hidden, mask).neg().exp()


def _angles(positions: Tensor, head_size: int) -> Tensor:
    """(B, L) positions to (B, 1, L, head_size) angles: position * base^(-2 i / head_size)."""
    steps = torch.arange(0, head_size, 2, device=positions.device) / head_size
    angles = positions[:, None, :, None].float() * ROPE_BASE**-steps
    return torch.cat([angles, angles], dim=3)


def _rotated(x: Tensor, angles: Tensor) -> Tensor:
    """Rotate each pair (x_i, x_{i + head_size / 2}) by its angle."""
    first, second = x.chunk(2, dim=3)
    turned = torch.cat([-second, first], dim=3)
    return x * angles.cos().to(x.dtype) + turned * angles.sin().to(x.dtype)
