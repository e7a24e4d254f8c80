r"""The training objective: likelihood at the predicted temperature, and a prior on it.

Pure functions of tensors. Networks predict *log inverse temperatures*, b = -log temperature, in
which every real number is a valid temperature and the likelihood is well scaled.
"""

import math

import torch
from torch import Tensor


def scaled_nll(scores: Tensor, labels: Tensor, log_inverse: Tensor) -> Tensor:
    r"""Negative log-likelihood of each label at a temperature.

    .. math:: -\log \mathrm{softmax}(e^{b} s)_y

    Args:
        scores: (N, K) float; ``-inf`` pads rows with fewer options.
        labels: (N,) int64.
        log_inverse: (N,) or scalar b = -log temperature.

    Returns:
        (N,) in at least float32. Gradients are finite, padding included: scores are multiplied
        first and masked afterwards, since the derivative of ``-inf * x`` is NaN.

    Example:
        >>> scores = torch.tensor([[2.0, 0.0, -torch.inf]])
        >>> scaled_nll(scores, torch.tensor([0]), torch.tensor(0.0)).round(decimals=4)
        tensor([0.1269])
    """
    scores = scores if scores.dtype == torch.float64 else scores.float()
    padding = scores.isneginf()
    inverse = log_inverse.to(scores.dtype).exp().reshape(-1, 1)
    scaled = (scores.masked_fill(padding, 0.0) * inverse).masked_fill(padding, -torch.inf)
    return torch.nn.functional.cross_entropy(scaled, labels, reduction="none")


def gamma_prior_nll(log_inverse: Tensor, shape: float = 1.25, scale: float = 4.0) -> Tensor:
    r"""Negative log-density of a temperature under a Gamma prior; the paper's regulariser.

    .. math:: -\log \mathrm{Gamma}(\tau; k, \theta)
              = \log\Gamma(k) + k \log\theta - (k - 1) \log\tau + \tau / \theta

    With shape k = 1.25 and scale theta = 4 its mode is at temperature 1 (Shen et al. 2024).

    Args:
        log_inverse: b = -log temperature, of any shape, which is that of the result.
        shape: k > 0.
        scale: theta > 0.

    Example:
        >>> gamma_prior_nll(torch.tensor(0.0)).round(decimals=4)
        tensor(1.8846)
    """
    constant = math.lgamma(shape) + shape * math.log(scale)
    return constant + (shape - 1) * log_inverse + (-log_inverse).exp() / scale


def mean_inverse(log_inverse: Tensor, segment_ids: Tensor) -> Tensor:
    """Log of the mean inverse temperature of each task, from those of its samples.

    Args:
        log_inverse: (N,) b = -log temperature of each sample.
        segment_ids: (N,) int64, which of M tasks each sample is of; every task has one at least.

    Returns:
        (M,) log(mean(exp(b))): the task's temperature is the harmonic mean of the samples'.

    Example:
        >>> mean_inverse(torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0, 0, 1])).round(decimals=4)
        tensor([0., 1.])
    """
    n_tasks = int(segment_ids.max()) + 1
    inverse = log_inverse.exp()  # in mixed precision of another dtype than `log_inverse`
    total = inverse.new_zeros(n_tasks).index_add(0, segment_ids, inverse)
    return (total / torch.bincount(segment_ids)).log()
