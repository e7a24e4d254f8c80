"""Statistics of option scores: of a row, of its task, and beside those of a reference model.

Scores come in divided by the pooled temperature of their model. `ScoreInputs` standardises every
statistic over the training rows of each answering model, so that different models are comparable.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

_RELATIVE = (0.25, 0.5, 1.0, 2.0)  # temperatures, as multiples of the pooled one
_ONE = _RELATIVE.index(1.0)
_N_DEBIASED = 3  # the first of them, at which the position bias is taken out
_N_REFERENCE = 3  # the last of them, at which two models are compared
_N_POSITIONS = 8
_SMALLEST = 1e-6  # of a probability, before it is compared with the task's
_FARTHEST_DIVERGENCE = 8.0  # nats; a divergence beyond says no more
_FARTHEST_DEVIATION = 5.0  # standard deviations; beyond, a number is only known to be far

_N_SAMPLE = 4 + 2 * len(_RELATIVE)
WIDTHS = {
    "scores": _N_SAMPLE,
    "positions": 2 * _N_POSITIONS,
    "debiased": 4 * _N_DEBIASED,
    "reference": _N_SAMPLE + 1 + 5 * _N_REFERENCE,
}
"""How many statistics there are of each source that is made of scores."""


class Softened(NamedTuple):
    """Rows of scores with their softmax at each temperature, from which all statistics are made.

    Args:
        z: (N, K) float32 scores over the temperature, 0 where the row has no such option.
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


def softened(scores: Tensor, temperature: float) -> Softened:
    """Scores over a temperature, with their softmax at several temperatures.

    ``-inf`` pads rows of (N, K) scores with fewer options, of which each has two or more.

    Example:
        >>> softened(torch.tensor([[2.0, 0.0, -torch.inf]]), temperature=2.0).z
        tensor([[1., 0., 0.]])
    """
    real = ~scores.isneginf()
    z = (scores.float() / temperature).masked_fill(~real, 0.0)
    distributions = _distribution(z / z.new_tensor(_RELATIVE)[:, None, None], real)
    return Softened(z, real, real.sum(dim=1), *distributions)


def sample_statistics(rows: Softened) -> Tensor:
    r"""Spread, leads, entropies and confidences of each row, (N, 12) float32.

    Log of the standard deviation of z; log(1 + lead) of the best option over the second, over the
    mean of the others and over the last; and at each temperature the entropy of softmax(z / t) as a
    share of log K, and its largest probability.

    Example:
        >>> rows = softened(torch.tensor([[4.0, 0.0], [0.0, 4.0]]), temperature=2.0)
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


def position_statistics(rows: Softened) -> Tensor:
    r"""The scores of each of the first eight positions, such as the letters A to H.

    Models prefer some positions, and are right more often at some than at others. By position: z
    less its mean over the row's options, and softmax(z); (N, 16) float32, 0 for missing options.

    Example:
        >>> position_statistics(softened(torch.tensor([[2.0, 0.0]]), temperature=1.0))[0, :3]
        tensor([ 1., -1.,  0.])
    """
    z, real, n_options, probs, *_ = rows
    centred = (z - z.sum(dim=1, keepdim=True) / n_options[:, None]) * real
    missing = (0, max(0, _N_POSITIONS - z.shape[1]))
    parts = [centred[:, :_N_POSITIONS], probs[_ONE, :, :_N_POSITIONS]]
    return torch.cat([torch.nn.functional.pad(part, missing) for part in parts], dim=1)


def debiased_statistics(rows: Softened, groups: Tensor) -> Tensor:
    r"""Each row without its group's position bias, (N, 12) float32.

    Let r_k be the mean of K p_ik over the rows of the group that have an option k: above 1 if the
    model prefers that position. At each temperature of 1/4, 1/2 and 1 the row without that bias,
    q_ik = (p_ik / r_k) / sum_j (p_ij / r_j), which for equal K is batch calibration (Zhou et al.
    2023, arXiv 2309.17249), gives four numbers: q of the option that the scores answer, the largest
    q, its entropy as a share of log K, and whether its answer is the same.

    `groups` are (N,) int64 from 0, the group of each row.

    Example:
        >>> rows = softened(torch.tensor([[4.0, 0.0], [2.0, 0.0]]), temperature=1.0)
        >>> debiased_statistics(rows, torch.tensor([0, 0])).shape
        torch.Size([2, 12])
    """
    n_groups = int(groups.max()) + 1
    z, real, n_options, probs, *_ = rows
    answer = z.masked_fill(~real, -torch.inf).argmax(dim=1)
    having = sums_by_group(real.float(), groups, n_groups)
    probs = probs[:_N_DEBIASED].clamp(min=_SMALLEST) * real  # (T, N, K)
    total = torch.stack([sums_by_group(p, groups, n_groups) for p in probs * n_options[:, None]])
    log_bias = (total / having.clamp(min=1)).clamp(min=_SMALLEST).log()  # (T, G, K)
    log_debiased = probs.clamp(min=_SMALLEST).log() - log_bias[:, groups]
    debiased, _, entropy = _distribution(log_debiased, real)
    largest, position = debiased.max(dim=2)
    of_answer = debiased.gather(2, answer[None, :, None].expand(_N_DEBIASED, -1, 1)).squeeze(2)
    numbers = torch.stack([of_answer, largest, entropy, (position == answer).float()], dim=2)
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


def sums_by_group(rows: Tensor, groups: Tensor, n_groups: int) -> Tensor:
    """(G, C) sums of the rows of each group."""
    return rows.new_zeros(n_groups, rows.shape[1]).index_add_(0, groups, rows)


def reference_statistics(rows: Softened, reference: Softened) -> Tensor:
    r"""How sure the reference model is, and how far it agrees, (N, 28) float32.

    `sample_statistics` of the reference model; whether both give the same answer; and with p and r
    the probabilities of the answering and the reference model, at each temperature of 1/2, 1 and 2:
    r of the answer, the largest r, p of the reference's answer, the divergence sum p log(p / r), at
    most 8, and the probability sum p r that two draws agree.

    Args:
        rows: N scores of the answering model over its pooled temperature, softened.
        reference: The same of the reference model, rows and options alike.

    Example:
        >>> rows = softened(torch.tensor([[4.0, 0.0], [4.0, 0.0]]), 1.0)
        >>> other = softened(torch.tensor([[4.0, 0.0], [0.0, 4.0]]), 1.0)
        >>> reference_statistics(rows, other)[:, 12]
        tensor([1., 0.])
    """
    answer, other = (
        of.z.masked_fill(~of.real, -torch.inf).argmax(dim=1)[:, None] for of in (rows, reference)
    )
    p, r = (of.probs[-_N_REFERENCE:] for of in (rows, reference))
    log_p, log_r = (of.logs[-_N_REFERENCE:] for of in (rows, reference))
    columns = [
        r.gather(2, answer.expand(len(r), -1, -1)).squeeze(2),
        r.amax(dim=2),
        p.gather(2, other.expand(len(p), -1, -1)).squeeze(2),
        (p * (log_p - log_r)).sum(dim=2).clamp(0.0, _FARTHEST_DIVERGENCE),
        (p * r).sum(dim=2),
    ]
    of_temperatures = _by_row(torch.stack(columns, dim=2))
    alike = (answer == other).float()
    return torch.cat([sample_statistics(reference), alike, of_temperatures], dim=1)


class ScoreInputs(nn.Module):
    """Statistics of scores, each with mean 0 and deviation 1 over the training rows of its model.

    Values are cut at five deviations, so that scores unlike any of the training cannot throw the
    network out of all bounds. Scores come in divided by the pooled temperature of their model.

    Args:
        sources: Those of `WIDTHS` that are read.
        n_models: Number A of answering models.

    Example:
        >>> inputs = ScoreInputs(["scores", "debiased"])
        >>> z, tasks, models = torch.randn(6, 4), torch.tensor([0, 0, 0, 1, 1, 1]), torch.zeros(6)
        >>> inputs.fit(z, tasks, models.long())
        >>> {name: values.shape for name, values in inputs(z, tasks, models.long()).items()}
        {'scores': torch.Size([6, 12]), 'debiased': torch.Size([6, 12])}
    """

    def __init__(self, sources: Iterable[str], n_models: int = 1) -> None:
        super().__init__()
        chosen = frozenset(sources)
        self.sources = tuple(name for name in WIDTHS if name in chosen)
        for name in self.sources:
            self.register_buffer(f"{name}_shift", torch.zeros(n_models, WIDTHS[name]))
            self.register_buffer(f"{name}_gain", torch.ones(n_models, WIDTHS[name]))

    @torch.no_grad()
    def fit(
        self, z: Tensor, groups: Tensor, models: Tensor, reference: Tensor | None = None
    ) -> None:
        """Learn mean and deviation of every statistic for every model.

        Args:
            z: (N, K) scores of the training over the temperature of their model, ``-inf`` in short
                rows.
            groups: (N,) int64 from 0, the task of each row; no group has rows of two models.
            models: (N,) int64 in [0, A), the model of each row.
            reference: (N, K) scores of the reference model over its temperature, if they are read.
        """
        for name, of_all in _statistics(self.sources, z, groups, reference).items():
            shift, gain = self._scale(name)
            for model in range(len(shift)):
                values = of_all[models == model]
                scale = values.std(dim=0, correction=0)
                shift[model] = values.mean(dim=0)
                # A constant carries no information: it becomes 0, whatever it is later.
                gain[model] = torch.where(scale > 1e-4, 1 / scale, 0.0)

    def forward(
        self,
        z: Tensor,
        groups: Tensor,
        models: Tensor | int,
        reference: Tensor | None = None,
        only: Iterable[str] | None = None,
    ) -> dict[str, Tensor]:
        """The standardised statistics of each source, (N, R) float32.

        The arguments are as for `fit`; `models` may be one number for all rows, and `only` chooses
        among the sources.
        """
        chosen = self.sources if only is None else frozenset(only) & frozenset(self.sources)
        found = {}
        for name, values in _statistics(chosen, z, groups, reference).items():
            shift, gain = self._scale(name)
            found[name] = ((values - shift[models]) * gain[models]).clamp(
                -_FARTHEST_DEVIATION, _FARTHEST_DEVIATION
            )
        return found

    def _scale(self, name: str) -> tuple[Tensor, Tensor]:
        return getattr(self, f"{name}_shift"), getattr(self, f"{name}_gain")


def _statistics(
    sources: Iterable[str], z: Tensor, groups: Tensor, reference: Tensor | None
) -> dict[str, Tensor]:
    """The statistics of some sources, not yet standardised."""
    chosen, found = frozenset(sources), {}
    rows = softened(z, 1.0)
    if "scores" in chosen:
        found["scores"] = sample_statistics(rows)
    if "positions" in chosen:
        found["positions"] = position_statistics(rows)
    if "debiased" in chosen:
        found["debiased"] = debiased_statistics(rows, groups)
    if "reference" in chosen:
        assert reference is not None
        found["reference"] = reference_statistics(rows, softened(reference, 1.0))
    return found
