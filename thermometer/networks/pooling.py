"""What the prompts of a task say together: numbers that are read off each and pooled."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

_MANY = 32  # rows of a group; more of them make its means hardly surer


class Pool(nn.Module):
    """Pools the rows of each group into some numbers, which do not depend on their order.

    Every number is a mean over the group of what one layer reads off each row (Zaheer et al. 2017,
    arXiv 1703.06114). With them comes 1 / sqrt(n), how unsure means of n rows are.

    Args:
        width: Numbers R of each row.
        size: Numbers P of each group, but for that of its rows.

    Example:
        >>> pool = Pool(5, 3)
        >>> rows, groups = torch.randn(4, 5), torch.tensor([0, 1, 0, 1])
        >>> pooled = pool(rows, groups)
        >>> pooled.shape, bool((pooled[0] == pooled[2]).all())
        (torch.Size([4, 4]), True)
    """

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.read = nn.Linear(width, size)

    def forward(self, rows: Tensor, groups: Tensor) -> Tensor:
        """(N, R) rows of (N,) int64 groups from 0 to the (N, P + 1) numbers of each's group."""
        return pool_together([self], rows, groups)[groups, 0].to(rows)


def pool_together(pools: Sequence[Pool], rows: Tensor, groups: Tensor) -> Tensor:
    """What pools of one shape make of the same rows, by group and not yet by row.

    Args:
        pools: M of them.
        rows: (N, R), which each of them reads.
        groups: (N,) int64 from 0.

    Returns:
        (G, M, P + 1) in at least float32; means of groups without rows are 0.
    """
    weight = torch.cat([pool.read.weight for pool in pools])
    bias = torch.cat([pool.read.bias for pool in pools])
    values = nn.functional.silu(nn.functional.linear(rows, weight, bias), inplace=True)
    values = values.to(torch.promote_types(values.dtype, torch.float32))  # sums of many rows
    counts = torch.bincount(groups).to(values)[:, None]
    sums = values.new_zeros(len(counts), values.shape[1]).index_add(0, groups, values)
    means = (sums / counts.clamp(min=1)).reshape(len(counts), len(pools), -1)
    unsure = counts.clamp(1, _MANY).rsqrt()[:, None].expand(-1, len(pools), -1)
    return torch.cat([means, unsure], dim=2)
