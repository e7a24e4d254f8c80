r"""What a second language model, the reference model, says about the answer of the first.

A model that was tuned to chat is surer than the one that it was tuned from, and where the two
disagree it is often wrong (Luo et al. 2025, arXiv 2505.16690, use both to fit a temperature). A
smaller model of the family tells less, and is at hand where its hidden states are read. Pure
functions of tensors; nothing here is trained.
"""

import torch
from torch import Tensor

from thermometer.networks.score_statistics import sample_statistics

_TEMPERATURES = (0.5, 1.0, 2.0)  # of both models, as multiples of their own
_FARTHEST = 8.0  # nats; a divergence beyond says no more

N_REFERENCE = 13 + 5 * len(_TEMPERATURES)
"""Width of `reference_statistics`."""


def reference_statistics(z: Tensor, reference: Tensor) -> Tensor:
    r"""How sure the reference model is, and how far it agrees.

    `sample_statistics` of the reference model; whether both give the same answer; and with p and r
    the probabilities of the answering and the reference model, at each temperature of 1/2, 1 and 2:
    r of the answer, the largest r, p of the reference's answer, the divergence sum p log(p / r), at
    most 8, and the probability sum p r that two draws agree.

    Args:
        z: (N, K) float scores of the answering model over its one temperature; ``-inf`` pads rows
            with fewer options, of which each has two or more.
        reference: (N, K) likewise of the reference model.

    Returns:
        (N, 28) float32.

    Example:
        >>> z = torch.tensor([[4.0, 0.0], [4.0, 0.0]])
        >>> reference_statistics(z, torch.tensor([[4.0, 0.0], [0.0, 4.0]]))[:, 12]
        tensor([1., 0.])
    """
    real = ~z.isneginf()
    both = torch.stack([z, reference]).float().masked_fill(~real, -torch.inf)
    answer, other = both.argmax(dim=2)[..., None]
    at = both.new_tensor(_TEMPERATURES)[:, None, None]
    logs = (both[:, None] / at).log_softmax(dim=-1)  # (2, T, N, K)
    p, r = logs.exp()
    log_p, log_r = logs.masked_fill(~real, 0.0)
    columns = [
        r.gather(2, answer.expand(len(at), -1, -1)).squeeze(2),
        r.amax(dim=2),
        p.gather(2, other.expand(len(at), -1, -1)).squeeze(2),
        (p * (log_p - log_r)).sum(dim=2).clamp(0.0, _FARTHEST),
        (p * r).sum(dim=2),
    ]
    of_temperatures = torch.stack(columns, dim=2).transpose(0, 1).flatten(1)
    alike = (answer == other).float()
    return torch.cat([sample_statistics(reference, 1.0), alike, of_temperatures], dim=1)
