"""Text generated at calibrated temperatures: a logits processor for transformers' `generate`.

A processor sees rows of next-token scores and neither prompts nor models: which row belongs to
which prompt is told by their order alone. `integrations.vllm` does the same for vLLM.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from transformers import LogitsProcessor

from thermometer import _checks


class TemperatureLogitsProcessor(LogitsProcessor):  # type: ignore[misc]
    r"""Divides the next-token scores of each prompt by the prompt's own temperature.

    Row by row it returns log softmax(scores / temperature) in float32: the calibrated
    log-probabilities. ``-inf`` stays, the order of tokens does not change (two that differ by less
    than float32 resolves may become equal), and since the result is normalised, beams are compared
    by the calibrated probability of their whole text. One temperature per prompt is enough however
    many rows `generate` makes of it: `num_return_sequences` and `num_beams` repeat each prompt's
    row in place, and so are its temperatures here.

    `generate` applies it after its own penalties and constraints and before its temperature, top-k,
    top-p and min-p, which therefore see calibrated scores. It samples among the 50 best tokens
    unless told otherwise: pass ``top_k=0`` for the whole calibrated distribution.

    Continuous batching (`generate_batch`, ``cache_implementation="paged"``) takes no processor of
    the user's, and ignores one without a word; it has temperatures per request of its own, see
    docs/generation.md.

    Args:
        temperatures: (B,) in the order of the prompts, or one for all; finite and > 0. For example
            what `Calibrator.temperature` returned.

    Raises:
        ValueError: For temperatures that are not positive and finite; and in use, if the number of
            rows is no multiple of B, or rows that would share a temperature hold different prompts,
            so that there are more prompts than temperatures.

    Example:
        >>> processor = TemperatureLogitsProcessor([0.5, 2.0])
        >>> ids, scores = torch.tensor([[7], [8]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
        >>> [[round(p, 3) for p in row] for row in processor(ids, scores).exp().tolist()]
        [[0.881, 0.119], [0.622, 0.378]]
    """

    supports_continuous_batching = False

    def __init__(self, temperatures: ArrayLike) -> None:
        self.temperatures = _checked(temperatures)
        self._length = -1  # of the rows in the last call

    def __repr__(self) -> str:
        return f"TemperatureLogitsProcessor({self.temperatures.tolist()})"

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Calibrated log-probabilities.

        Args:
            input_ids: (R, L) int64, the tokens so far; R = B times the rows of each prompt.
            scores: (R, V) next-token scores, logits or (in beam search) log-probabilities.

        Returns:
            (R, V) float32 log-probabilities.
        """
        if input_ids.ndim != 2 or scores.ndim != 2:
            raise _checks.fail(
                "scores",
                "a matrix with one row of tokens for each (in continuous batching pass "
                "`temperature` to each request instead)",
                f"shapes {tuple(input_ids.shape)} and {tuple(scores.shape)}",
            )
        exact = scores.float()
        gap = exact - exact.amax(dim=-1, keepdim=True)  # <= 0: no temperature makes it overflow
        return gap.div_(self._divisor(input_ids).to(scores.device)).log_softmax(dim=-1)

    def _divisor(self, input_ids: Tensor) -> Tensor:
        """(R, 1) temperatures, those of a prompt repeated for all its rows."""
        if not self.temperatures.ndim:
            return self.temperatures.reshape(1, 1)
        rows, length = input_ids.shape
        prompts = len(self.temperatures)
        if rows % prompts or not rows:
            raise _checks.fail(
                "temperatures", "one for each prompt", f"{prompts} temperatures for {rows} rows"
            )
        repeats = rows // prompts
        starts = length != self._length + 1  # the rows of a prompt differ once it is continued
        self._length = length
        if starts and repeats > 1:
            groups = input_ids.reshape(prompts, repeats, length)
            if bool((groups != groups[:, :1]).any()):
                raise _checks.fail(
                    "temperatures",
                    "one for each prompt",
                    f"{prompts} temperatures for {rows} rows of more prompts",
                )
        return self.temperatures.repeat_interleave(repeats)[:, None]


def _checked(temperatures: Any) -> Tensor:
    """A number or a vector as float32, every one finite and positive in that precision."""
    if isinstance(temperatures, Tensor):
        temperatures = temperatures.detach().cpu().numpy()
    array = np.asarray(temperatures, dtype=np.float64)
    if array.ndim > 1 or not array.size:
        raise _checks.fail("temperatures", "a number or a vector", f"shape {array.shape}")
    with np.errstate(over="ignore", under="ignore"):
        rounded = array.astype(np.float32)
    if (bad := ~((rounded > 0) & np.isfinite(rounded))).any():
        where = f" at row {int(np.flatnonzero(bad)[0])}" if array.ndim else ""
        raise _checks.fail("temperatures", "finite and > 0", f"{array[bad].flat[0]}{where}")
    return torch.from_numpy(rounded)
