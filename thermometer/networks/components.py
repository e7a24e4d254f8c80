"""Principal components of features, partly whitened: a shift and a projection, learned once.

Pure functions of tensors; nothing here knows the network that reads the components.
"""

import math

import torch
from torch import Tensor

from thermometer import _checks


def principal_components(features: Tensor, size: int, whitening: float) -> tuple[Tensor, Tensor]:
    """Standardise, rotate, scale, cut: components are ``(features - shift) @ projection.T``.

    A component of variance v gets v^(1 - whitening), then all are scaled to variance 1 on average.
    By randomised PCA, whose random start comes from torch's global generator: a full
    eigendecomposition of 4,096 features would take longer than the training.

    Args:
        features: (N, D); more rows than components.
        size: Number R of components.
        whitening: In [0, 1].

    Returns:
        (D,) shift and (R, D) projection, float32.

    Raises:
        ValueError: If there are not more rows than components.

    Example:
        >>> shift, projection = principal_components(torch.randn(50, 6), size=2, whitening=1.0)
        >>> shift.shape, projection.shape
        (torch.Size([6]), torch.Size([2, 6]))
    """
    if len(features) <= size:
        raise too_few_rows(len(features), size)
    data = features.float()
    shift, scale = data.mean(dim=0), data.std(dim=0)
    # What is constant but for rounding says nothing, and dividing by it would say very much.
    scale = scale.where(scale > 1e-6 * shift.abs().clamp(min=1e-6), torch.inf)
    data = (data - shift) / scale
    oversampled = min(size + 16, *data.shape)
    _, values, vectors = torch.pca_lowrank(data, q=oversampled, center=False, niter=4)
    spread = values[:size] / math.sqrt(len(data))
    real = spread > 1e-4 * spread[0]
    wanted = spread ** (1 - whitening)
    gain = (wanted / wanted[real].square().mean().sqrt() / spread).where(real, 0.0)
    return shift, (vectors[:, :size] * gain / scale[:, None]).T


def too_few_rows(n_rows: int, size: int) -> ValueError:
    """The error for fewer rows than components, which says what else there is."""
    expected = f"less than the number of questions to train on, which is {n_rows}"
    return _checks.fail(
        "n_components", expected, f"{size}. Take fewer, or the preset `scores`, which has none"
    )
