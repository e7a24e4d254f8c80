r"""What the scores of the answering model say about how far they can be believed.

Numbers of each row, some of them in the light of all rows of its task, none of which needs labels.
They do not depend on the order of the options (but for what is about their places), work for any
number of options, and are taken at temperatures around a reference, so that scores of any scale
fit.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

_RELATIVE = (0.25, 0.5, 1.0, 2.0)  # temperatures of the sample, as multiples of the reference
_FAIR = _RELATIVE[:3]  # the same of what is left without the task's bias
_ONE = _RELATIVE.index(1.0)
_SMALLEST = 1e-6  # of a probability, before it is compared with the task's

N_SAMPLE = 4 + 2 * len(_RELATIVE)
"""Width of `sample_statistics`."""
N_FAIR = 4 * len(_FAIR)
"""Width of `fair_statistics`."""
_PLACES = 8
N_PLACES = 2 * _PLACES
"""Width of `place_statistics`."""


class Softened(NamedTuple):
    """Rows of scores with their softmax at each temperature, from which all statistics are made.

    Args:
        z: (N, K) float32 scores over the reference, 0 where the row has no such option.
        real: (N, K) bool, whether the row has the option.
        n_options: (N,) int64.
        probs: (T, N, K) float32, softmax(z / t) at each temperature t of 1/4, 1/2, 1 and 2.
        logs: (T, N, K) their logarithms, 0 where the row has no such option.
        entropy: (T, N) float32, their entropies as shares of log K.
    """

    z: Tensor
    real: Tensor
    n_options: Tensor
    probs: Tensor
    logs: Tensor
    entropy: Tensor


def softened(scores: Tensor, reference: float) -> Softened:
    """What the statistics of rows have in common.

    Args:
        scores: (N, K) float; ``-inf`` pads rows with fewer options, of which each has two or more.
        reference: Temperature > 0 that suits the training scores.

    Example:
        >>> softened(torch.tensor([[2.0, 0.0, -torch.inf]]), reference=2.0).z
        tensor([[1., 0., 0.]])
    """
    real = ~scores.isneginf()
    z = (scores.float() / reference).masked_fill(~real, 0.0)
    distributions = _distribution(z / z.new_tensor(_RELATIVE)[:, None, None], real)
    return Softened(z, real, real.sum(dim=1), *distributions)


def sample_statistics(rows: Softened) -> Tensor:
    r"""Spread, leads, entropies and confidences of each row.

    Log of the standard deviation of z; log(1 + lead) of the best option over the second, over the
    mean of the others and over the last; and at each temperature the entropy of softmax(z / t) as a
    share of log K, and its largest probability.

    Returns:
        (N, 12) float32.

    Example:
        >>> rows = softened(torch.tensor([[4.0, 0.0], [0.0, 4.0]]), reference=2.0)
        >>> one, other = sample_statistics(rows)
        >>> bool((one == other).all())  # the order of options does not matter
        True
    """
    z, real, n_options, probs, _, entropy = rows
    mean = z.sum(dim=1) / n_options
    deviation = ((z - mean[:, None]).masked_fill(~real, 0.0).square().sum(dim=1) / n_options).sqrt()
    ordered = z.masked_fill(~real, -torch.inf).sort(dim=1, descending=True).values
    best, second = ordered[:, 0], ordered[:, 1]
    last = ordered.gather(1, n_options[:, None] - 1).squeeze(1)
    others = (mean * n_options - best) / (n_options - 1)
    columns = [
        (deviation + 1e-3).log(),
        (best - second).log1p(),
        (best - others).log1p(),
        (best - last).log1p(),
    ]
    of_temperatures = torch.stack([entropy, probs.amax(dim=2)], dim=2)  # (T, N, 2)
    return torch.cat([torch.stack(columns, dim=1), _by_row(of_temperatures)], dim=1)


def place_statistics(rows: Softened) -> Tensor:
    r"""What is said of each of the first eight places, such as the letters A to H.

    Models like some letters better than others, and are right more often at some than at others.
    By place: z less its mean over the row's options, and softmax(z).

    Returns:
        (N, 16) float32, 0 where the row has no such option.

    Example:
        >>> place_statistics(softened(torch.tensor([[2.0, 0.0]]), reference=1.0))[0, :3]
        tensor([ 1., -1.,  0.])
    """
    z, real, n_options, probs, *_ = rows
    centred = (z - z.sum(dim=1, keepdim=True) / n_options[:, None]) * real
    missing = (0, max(0, _PLACES - z.shape[1]))
    parts = [centred[:, :_PLACES], probs[_ONE, :, :_PLACES]]
    return torch.cat([torch.nn.functional.pad(part, missing) for part in parts], dim=1)


def fair_statistics(rows: Softened, groups: Tensor) -> Tensor:
    r"""Each row without its group's liking for places.

    Let r_k be the mean of K p_ik over the rows of the group that have an option k: above 1 if the
    model likes that place. At each temperature of 1/4, 1/2 and 1 the row without that bias,
    q_ik = (p_ik / r_k) / sum_j (p_ij / r_j), which for equal K is batch calibration (Zhou et al.
    2023, arXiv 2309.17249), gives four numbers: q of the option that the scores answer, the largest
    q, its entropy as a share of log K, and whether its answer is the same.

    Args:
        rows: N of them.
        groups: (N,) int64 from 0, the group of each row.

    Returns:
        (N, 12) float32.

    Example:
        >>> rows = softened(torch.tensor([[4.0, 0.0], [2.0, 0.0]]), reference=1.0)
        >>> fair_statistics(rows, torch.tensor([0, 0])).shape
        torch.Size([2, 12])
    """
    n_groups = int(groups.max()) + 1
    z, real, n_options, probs, *_ = rows
    answer = z.masked_fill(~real, -torch.inf).argmax(dim=1)
    having = _sums(real.float(), groups, n_groups)
    probs = probs[: len(_FAIR)].clamp(min=_SMALLEST) * real  # (T, N, K)
    total = torch.stack([_sums(p, groups, n_groups) for p in probs * n_options[:, None]])
    log_liking = (total / having.clamp(min=1)).clamp(min=_SMALLEST).log()  # (T, G, K)
    log_fair = probs.clamp(min=_SMALLEST).log() - log_liking[:, groups]
    fair, _, entropy = _distribution(log_fair, real)
    largest, place = fair.max(dim=2)
    of_answer = fair.gather(2, answer[None, :, None].expand(len(_FAIR), -1, 1)).squeeze(2)
    numbers = torch.stack([of_answer, largest, entropy, (place == answer).float()], dim=2)
    return _by_row(numbers)


def _by_row(numbers: Tensor) -> Tensor:
    """(T, N, C) as (N, T C), one temperature after another."""
    return numbers.transpose(0, 1).flatten(1)


def _distribution(z: Tensor, real: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Softmax of (..., N, K) over the real options, its log, and its entropy as a share."""
    logs = _log_softmax(z.masked_fill(~real, -torch.inf))
    probs, logs = logs.exp(), logs.masked_fill(~real, 0.0)
    entropy = -(probs * logs).sum(dim=-1)
    return probs, logs, entropy / real.sum(dim=1).float().log().clamp(min=math.log(2))


def _log_softmax(z: Tensor) -> Tensor:
    """`log_softmax` of (..., N, K) over the options.

    Where they are few, torch is five times as fast along columns as along rows. It rounds the same
    for up to 7 options on CPUs whose vectors' length divides that of the columns (16 at most).
    """
    if z.shape[-1] > 7:
        return z.log_softmax(dim=-1)
    columns = z.reshape(-1, z.shape[-1]).T
    n = columns.shape[1]
    logs = torch.nn.functional.pad(columns, (0, -n % 16)).log_softmax(dim=0)
    return logs[:, :n].T.contiguous().view_as(z)


def _sums(rows: Tensor, groups: Tensor, n_groups: int) -> Tensor:
    """(G, C) sums of the rows of each group."""
    return rows.new_zeros(n_groups, rows.shape[1]).index_add_(0, groups, rows)
