r"""The selective smoothing loss of ATS, from a few numbers of each token.

The logits of a token are a row as long as the vocabulary, and its loss at a temperature needs five
numbers of it. `token_statistics` walks the vocabulary in chunks and keeps only these, so that
neither the (P, V) matrix nor its gradient ever exists; the losses are then functions of P numbers.
Nothing here knows about networks, models or texts.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor

from thermometer import _checks

Loss = Literal["selective", "balanced", "nll"]
LOSSES = ("selective", "balanced", "nll")
BOUND = float(np.log(100))


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
    """The one temperature in [0.01, 100] with the least negative log-likelihood of P tokens.

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

    if slope(BOUND) <= 0:
        return float(np.exp(-BOUND))
    if slope(-BOUND) >= 0:
        return float(np.exp(BOUND))
    return float(np.exp(-brentq(slope, -BOUND, BOUND, xtol=1e-3)))
