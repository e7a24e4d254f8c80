"""Calibration errors that are fed batch by batch, as metrics of torchmetrics.

Their states are sums, a few numbers however many rows come, so that processes synchronise by adding
them up.
"""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from thermometer import _checks
from thermometer.metrics.calibration_error import GRID, smooth_ece_at_fixed_point


class _OfOutcomes(Metric):
    """A metric of confidences and outcomes that is a function of two sums over their rows."""

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    total: Tensor
    rows: Tensor

    def __init__(self, size: int, validate_args: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.validate_args = validate_args
        self.add_state("total", torch.zeros(size, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("rows", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def _take(self, confidence: Tensor, correct: Tensor) -> tuple[Tensor, Tensor]:
        """A batch in the precision of the state, checked."""
        for name, values in (("confidence", confidence), ("correct", correct)):
            if not isinstance(values, Tensor):
                kind = type(values).__name__
                raise TypeError(f"Expected `{name}` to be a tensor, but got {kind}")
        if confidence.ndim != 1:
            raise _checks.fail("confidence", "of shape (N,)", f"shape {tuple(confidence.shape)}")
        if correct.shape != confidence.shape:
            shapes = tuple(confidence.shape), tuple(correct.shape)
            raise _checks.fail("correct", f"of shape {shapes[0]}", f"shape {shapes[1]}")
        claimed = confidence.detach().to(self.total)
        outcome = correct.detach().to(self.total)
        if self.validate_args and claimed.numel():
            fine = (claimed >= 0) & (claimed <= 1) & ((outcome == 0) | (outcome == 1))
            if not bool(fine.all()):
                _checks.outcomes(*(x.detach().double().cpu() for x in (confidence, correct)))
        self.rows += claimed.numel()
        return claimed, outcome


class ExpectedCalibrationError(_OfOutcomes):
    """`metrics.expected_calibration_error` over bins of equal width, batch by batch.

    The state is sum_i (c_i - y_i) of every bin and the number of rows, in float64: the result is
    that of all rows at once, however they were split, up to the order of additions. It is a scalar
    tensor of the state's dtype and device; NaN before the first row, with a warning of
    torchmetrics. A batch without rows adds nothing. Apple GPUs have no float64: there, call
    ``set_dtype(torch.float32)`` before moving it.

    Args:
        n_bins: Number of bins.
        validate_args: Check that values are in range. On a GPU each check waits for the device.
        **kwargs: Those of `torchmetrics.Metric`.

    Raises:
        TypeError: In `update`, if an argument is no tensor (any real dtype will do).
        ValueError: In `update`, if the shapes are not one (N,), a confidence is NaN or outside
            [0, 1], or an outcome is neither 0 nor 1.

    Example:
        >>> metric = ExpectedCalibrationError(n_bins=10)
        >>> metric.update(torch.tensor([0.95]), torch.tensor([True]))
        >>> metric.update(torch.tensor([1.0]), torch.tensor([False]))
        >>> round(float(metric.compute()), 4)
        0.475
    """

    def __init__(self, n_bins: int = 15, *, validate_args: bool = True, **kwargs: Any) -> None:
        self.n_bins = _checks.integer("n_bins", n_bins)
        super().__init__(self.n_bins, validate_args, **kwargs)

    def update(self, confidence: Tensor, correct: Tensor) -> None:
        """Add a batch of (N,) probabilities of the chosen options, and whether these are right."""
        claimed, outcome = self._take(confidence, correct)
        closed_by = torch.ceil(claimed * self.n_bins)  # as `metrics.bin_index`, to the last bit
        closed_by -= (claimed <= (closed_by - 1) / self.n_bins).to(claimed)
        closed_by += (claimed > closed_by / self.n_bins).to(claimed)
        self.total.index_add_(0, closed_by.clamp(min=1).long() - 1, claimed - outcome)

    def compute(self) -> Tensor:
        """The error of all rows so far."""
        return self.total.abs().sum() / self.rows


class SmoothCalibrationError(_OfOutcomes):
    """`metrics.smooth_ece`, batch by batch.

    The state is the density of residuals on the same 16,384 cells (131 kB), and the number of rows.
    Arguments, dtypes, empty batches and errors are those of `ExpectedCalibrationError`; the fixed
    point is found on the CPU, in float64.

    Example:
        >>> metric = SmoothCalibrationError()
        >>> metric.update(torch.tensor([0.9, 0.9]), torch.tensor([1, 0]))
        >>> round(float(metric.compute()), 4)
        0.4
    """

    def __init__(self, *, validate_args: bool = True, **kwargs: Any) -> None:
        super().__init__(GRID + 1, validate_args, **kwargs)

    def update(self, confidence: Tensor, correct: Tensor) -> None:
        """Add a batch of (N,) probabilities of the chosen options, and whether these are right."""
        claimed, outcome = self._take(confidence, correct)
        position = claimed * GRID
        left = position.long().clamp(max=GRID - 1)
        size = claimed - outcome
        on_right = size * (position - left)
        self.total.index_add_(0, left, size - on_right)
        self.total.index_add_(0, left + 1, on_right)

    def compute(self) -> Tensor:
        """The error of all rows so far."""
        if not self.rows:
            return self.total.new_tensor(float("nan"))
        density = (self.total.double() / self.rows.double()).cpu().numpy() * GRID
        density[[0, -1]] *= 2  # half cells at the ends
        return self.total.new_tensor(smooth_ece_at_fixed_point(density))
