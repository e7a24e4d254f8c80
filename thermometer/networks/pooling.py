"""What the prompts of a task say together: numbers that are read off each and pooled."""

from typing import Literal

import torch
from torch import Tensor, nn

_MANY = 32  # rows of a group; more of them make its means hardly surer


class Pool(nn.Module):
    """Pools the rows of each group into some numbers, which do not depend on their order.

    Every number is a mean over the group of what one layer reads off each row (Zaheer et al. 2017,
    arXiv 1703.06114). With attention each has weights of its own, a softmax over the group of
    another number read off the row (Ilse et al. 2018, arXiv 1802.04712). With them comes
    1 / sqrt(n), how unsure means of n rows are.

    Args:
        width: Numbers R of each row.
        size: Numbers P of each group, but for that of its rows.
        kind: Plain mean, or attention.

    Example:
        >>> pool = Pool(5, 3, "attention")
        >>> rows, groups = torch.randn(4, 5), torch.tensor([0, 1, 0, 1])
        >>> pooled = pool(rows, groups)
        >>> pooled.shape, bool((pooled[0] == pooled[2]).all())
        (torch.Size([4, 4]), True)
    """

    def __init__(self, width: int, size: int, kind: Literal["mean", "attention"]) -> None:
        super().__init__()
        self.read = nn.Linear(width, size)
        self.attend = nn.Linear(width, size, bias=False) if kind == "attention" else None

    def forward(self, rows: Tensor, groups: Tensor) -> Tensor:
        """(N, R) rows of (N,) int64 groups from 0 to the (N, P + 1) numbers of each's group."""
        values = nn.functional.silu(self.read(rows))
        values = values.to(torch.promote_types(values.dtype, torch.float32))  # sums of many rows
        size = int(groups.max()) + 1, values.shape[1]
        if self.attend is None:
            weights = torch.ones_like(values[:, :1])
        else:
            logits = self.attend(rows).to(values)
            index = groups[:, None].expand_as(logits)
            empty = logits.new_zeros(size)
            largest = empty.scatter_reduce(0, index, logits.detach(), "amax", include_self=False)
            weights = (logits - largest[groups]).exp()
        total = weights.new_zeros(size[0], weights.shape[1]).index_add(0, groups, weights)
        pooled = values.new_zeros(size).index_add(0, groups, weights * values) / total
        counts = torch.bincount(groups, minlength=size[0]).to(values).clamp(1, _MANY)
        return torch.cat([pooled, counts.rsqrt()[:, None]], dim=1)[groups].to(rows)
