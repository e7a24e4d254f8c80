r"""What a second language model, the reference model, says about the answer of the first.

A model that was tuned to chat is surer than the one that it was tuned from, and where the two
disagree it is often wrong (Luo et al. 2025, arXiv 2505.16690, use both to fit a temperature). A
smaller model of the family tells less, and is at hand where its hidden states are read. Pure
functions of tensors; nothing here is trained.
"""

import torch
from torch import Tensor

from thermometer.networks.score_statistics import Softened, sample_statistics

_N_TEMPERATURES = 3  # the last of those that rows are softened at: 1/2, 1 and 2
_FARTHEST = 8.0  # nats; a divergence beyond says no more

N_REFERENCE = 13 + 5 * _N_TEMPERATURES
"""Width of `reference_statistics`."""


def reference_statistics(rows: Softened, reference: Softened) -> Tensor:
    r"""How sure the reference model is, and how far it agrees.

    `sample_statistics` of the reference model; whether both give the same answer; and with p and r
    the probabilities of the answering and the reference model, at each temperature of 1/2, 1 and 2:
    r of the answer, the largest r, p of the reference's answer, the divergence sum p log(p / r), at
    most 8, and the probability sum p r that two draws agree.

    Args:
        rows: N scores of the answering model over its one temperature, softened.
        reference: The same of the reference model, rows and options alike.

    Returns:
        (N, 28) float32.

    Example:
        >>> from thermometer.networks.score_statistics import softened
        >>> rows = softened(torch.tensor([[4.0, 0.0], [4.0, 0.0]]), 1.0)
        >>> other = softened(torch.tensor([[4.0, 0.0], [0.0, 4.0]]), 1.0)
        >>> reference_statistics(rows, other)[:, 12]
        tensor([1., 0.])
    """
    answer, other = (
        of.z.masked_fill(~of.real, -torch.inf).argmax(dim=1)[:, None] for of in (rows, reference)
    )
    p, r = (of.probs[-_N_TEMPERATURES:] for of in (rows, reference))
    log_p, log_r = (of.logs[-_N_TEMPERATURES:] for of in (rows, reference))
    columns = [
        r.gather(2, answer.expand(len(r), -1, -1)).squeeze(2),
        r.amax(dim=2),
        p.gather(2, other.expand(len(p), -1, -1)).squeeze(2),
        (p * (log_p - log_r)).sum(dim=2).clamp(0.0, _FARTHEST),
        (p * r).sum(dim=2),
    ]
    of_temperatures = torch.stack(columns, dim=2).transpose(0, 1).flatten(1)
    alike = (answer == other).float()
    return torch.cat([sample_statistics(reference), alike, of_temperatures], dim=1)
