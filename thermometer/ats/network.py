"""The head of adaptive temperature scaling and its objective (Xie et al., EMNLP 2024)."""

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor, nn

from thermometer import _checks
from thermometer.network import LIMIT
from thermometer.scaling import MAX_TEMPERATURE, MIN_TEMPERATURE

Loss = Literal["selective", "balanced", "nll"]
LOSSES = ("selective", "balanced", "nll")


@dataclass(frozen=True, slots=True, eq=False)
class TokenStatistics:
    """What the losses need of the logits z of P tokens at log inverse temperatures b.

    Args:
        log_norm: (P,) log sum_v exp(e^b z_v).
        expected: (P,) sum_v softmax(e^b z)_v z_v, which is the slope of `log_norm` in e^b.
        mean: (P,) mean of z over the vocabulary.
        label: (P,) z of the token that came.
        top: (P,) largest z.
        prediction: (P,) int64 token with the largest z; the first one among equals.
        targets: (P,) int64 token that came.

    All floats are float32, or float64 if b is; no gradient flows into them.
    """

    log_norm: Tensor
    expected: Tensor
    mean: Tensor
    label: Tensor
    top: Tensor
    prediction: Tensor
    targets: Tensor

    @property
    def correct(self) -> Tensor:
        """(P,) bool: whether the most probable token is the one that came."""
        return self.prediction == self.targets


@torch.no_grad()
def token_statistics(
    chunks: Iterable[Tensor], targets: Tensor, log_inverse: Tensor
) -> TokenStatistics:
    """Walk over the vocabulary once.

    Args:
        chunks: (P, C) logits, which side by side are the (P, V) logits; any float dtype.
        targets: (P,) int64 tokens that came, in [0, V).
        log_inverse: (P,) b = -log temperature.

    Example:
        >>> logits = torch.tensor([[2.0, 0.0, 1.0]])
        >>> s = token_statistics(logits.split(2, dim=1), torch.tensor([2]), torch.zeros(1))
        >>> s.log_norm.round(decimals=4), s.mean, s.label, s.prediction
        (tensor([2.4076]), tensor([1.]), tensor([1.]), tensor([0]))
    """
    dtype = torch.float64 if log_inverse.dtype == torch.float64 else torch.float32
    inverse = log_inverse.to(dtype).exp()
    total, weighted, plain, label = torch.zeros(4, len(targets), dtype=dtype, device=targets.device)
    top = torch.full_like(total, -torch.inf)
    prediction = torch.zeros_like(targets)
    rows = torch.arange(len(targets), device=targets.device)
    first = 0
    for chunk in chunks:
        z = chunk.to(dtype)
        largest, where = z.max(dim=1)
        higher = torch.maximum(top, largest)
        odds = ((z - higher[:, None]) * inverse[:, None]).exp()
        shrink = ((top - higher) * inverse).exp()
        total = total * shrink + odds.sum(dim=1)
        weighted = weighted * shrink + (odds * z).sum(dim=1)
        plain = plain + z.sum(dim=1)
        prediction = torch.where(largest > top, where + first, prediction)
        top = higher
        here = (targets >= first) & (targets < first + z.shape[1])
        own = z[rows, (targets - first).clamp(0, z.shape[1] - 1)]
        label = torch.where(here, own, label)
        first += z.shape[1]
    log_norm, expected = total.log() + inverse * top, weighted / total
    return TokenStatistics(log_norm, expected, plain / first, label, top, prediction, targets)


def token_losses(statistics: TokenStatistics, log_inverse: Tensor) -> tuple[Tensor, Tensor]:
    r"""Both losses of each token, differentiable in its log inverse temperature.

    .. math:: -\log p_y \quad\text{and}\quad -\frac{1}{V} \sum_v \log p_v,
              \qquad p = \mathrm{softmax}(e^b z)

    Args:
        statistics: Taken at `log_inverse`.
        log_inverse: (P,) b.

    Returns:
        (P,) negative log-likelihood, and (P,) cross-entropy to the uniform distribution.
    """
    inverse = log_inverse.to(statistics.log_norm.dtype).exp()
    # The value is the first term; the second is 0 and carries the slope.
    log_norm = statistics.log_norm + (inverse - inverse.detach()) * statistics.expected
    return log_norm - inverse * statistics.label, log_norm - inverse * statistics.mean


def selective_smoothing(
    statistics: TokenStatistics,
    log_inverse: Tensor,
    loss: Loss = "selective",
    alpha: float = 0.5,
    smoothing: float = 1.0,
) -> Tensor:
    r"""The loss of Xie et al. (EMNLP 2024): likelihood where the model is right, smooth elsewhere.

    Let l be the negative log-likelihood of a token, u its cross-entropy to the uniform distribution
    and s = (1 - smoothing) l + smoothing u. Of P tokens the model gets P_r right (its most probable
    token came) and P_w wrong. Then

    ``selective``, the paper's formula:

    .. math:: \frac1P \Bigl[\sum_{right} (1 - \alpha)\, l + \sum_{wrong} \alpha\, s\Bigr]

    ``balanced``, the authors' code, which weighs the two means by the size of the *other* group:

    .. math:: w_r \frac{1}{P_r} \sum_{right} l + w_w \frac{1}{P_w} \sum_{wrong} s, \qquad
              w_r : w_w = (1 - \alpha) P_w : \alpha P_r, \quad w_r + w_w = 1

    ``nll``, for comparison: the mean of l, without regard to who is right.

    The default is ``selective``: where all tokens have one accuracy a and all wrong options are
    alike, its minimum at alpha = 1/2 and smoothing = 1 has confidence a + (1 - a) / V, while that
    of ``balanced`` is near 1 - a. (A test shows both.)

    Args:
        statistics: Taken at `log_inverse`; at least one token.
        log_inverse: (P,) b.
        loss: Which of the three.
        alpha: Weight of wrong tokens, in [0, 1].
        smoothing: In [0, 1].

    Returns:
        A number >= 0. ``balanced`` is 0 if all are right or all are wrong.

    Raises:
        ValueError: For an unknown loss.
    """
    _checks.one_of("loss", loss, LOSSES)
    nll, uniform = token_losses(statistics, log_inverse)
    if loss == "nll":
        return nll.mean()
    right = statistics.correct.to(nll.dtype)
    wrong = 1 - right
    smooth = (1 - smoothing) * nll + smoothing * uniform
    hard, soft = (right * nll).sum(), (wrong * smooth).sum()
    if loss == "selective":
        return ((1 - alpha) * hard + alpha * soft) / len(nll)
    n_right, n_wrong = right.sum(), wrong.sum()
    of_right, of_wrong = (1 - alpha) * n_wrong, alpha * n_right
    weights = (of_right + of_wrong).clamp(min=torch.finfo(nll.dtype).tiny)
    hard, soft = hard / n_right.clamp(min=1), soft / n_wrong.clamp(min=1)
    return (of_right * hard + of_wrong * soft) / weights


def fit_token_temperature(logits: Callable[[], Iterable[Tensor]], targets: Tensor) -> float:
    """The pooled temperature in [0.001, 1000] with the least negative log-likelihood of P tokens.

    The zero of its slope, by Brent's method on the log to 1e-3, as `scaling.fit_temperature` does;
    but that one holds all scores at once.

    Args:
        logits: Called once for each trial: gives the chunks of `token_statistics`.
        targets: (P,) int64.

    Example:
        >>> z = torch.tensor([[2.0, 0.0]] * 4)  # 3 of 4 right: 2 / temperature = log 3
        >>> round(fit_token_temperature(lambda: [z], torch.tensor([0, 0, 0, 1])), 2)
        1.82
    """

    def slope(log_inverse: float) -> float:
        b = torch.full(targets.shape, log_inverse, device=targets.device, dtype=torch.float64)
        found = token_statistics(logits(), targets, b)
        return float((found.expected.double() - found.label.double()).mean())

    if slope(LIMIT) <= 0:
        return MIN_TEMPERATURE
    if slope(-LIMIT) >= 0:
        return MAX_TEMPERATURE
    return float(np.exp(-brentq(slope, -LIMIT, LIMIT, xtol=1e-3)))


KINDS = ("transformer", "mlp", "linear")


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


class Block(nn.Module):
    """A decoder block of Llama, as `transformers` has it, with as many key as query heads.

    Without attention if `head_size` is 0: the normed input goes through the gated part only.
    """

    def __init__(self, width: int, hidden: int, head_size: int) -> None:
        super().__init__()
        from transformers.models.llama import modeling_llama as llama

        n_heads = width // head_size if head_size else 1
        config = llama.LlamaConfig(
            hidden_size=width,
            intermediate_size=hidden,
            num_attention_heads=n_heads,
            num_key_value_heads=n_heads,
            rms_norm_eps=1e-6,
            attn_implementation="sdpa",
        )
        self.rotary = llama.LlamaRotaryEmbedding(config) if head_size else None
        self.layer: nn.Module
        if head_size:
            self.layer = llama.LlamaDecoderLayer(config, 0)
        else:
            self.layer = nn.Sequential(llama.LlamaRMSNorm(width, 1e-6), llama.LlamaMLP(config))
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=0.02)

    def forward(self, x: Tensor, mask: Tensor) -> Any:
        """(B, L, D) and (B, L) bool of real tokens to (B, L, D)."""
        if self.rotary is None:
            return x + self.layer(x)
        L = x.shape[1]
        causal = torch.ones(L, L, dtype=torch.bool, device=x.device).tril()
        itself = torch.eye(L, dtype=torch.bool, device=x.device)  # else padding has no key: NaN
        visible = (causal & mask[:, None, :]) | itself
        angles = self.rotary(x, (mask.cumsum(dim=1) - 1).clamp(min=0))
        return self.layer(x, attention_mask=visible[:, None], position_embeddings=angles)


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
        self.float()  # whatever torch's default dtype is
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
        """Make the head predict the same temperature for every token."""
        self.output.weight.zero_()
        self.output.bias.fill_(-math.log(temperature))

    def log_inverse(self, hidden: Tensor, mask: Tensor | None = None) -> Tensor:
        """As `forward`, but b = -log temperature; 0 at padding."""
        if hidden.ndim != 3 or hidden.shape[2] != self.n_features:
            expected = f"of shape (B, L, {self.n_features})"
            raise _checks.fail("hidden", expected, f"shape {tuple(hidden.shape)}")
        if mask is None:
            mask = torch.ones(hidden.shape[:2], device=hidden.device)
        elif mask.shape != hidden.shape[:2]:
            expected = f"of shape {tuple(hidden.shape[:2])}"
            raise _checks.fail("mask", expected, f"shape {tuple(mask.shape)}")
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
