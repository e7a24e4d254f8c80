"""Score statistics as inputs of a network: put on one scale, which is learned once and kept.

Several answering models each have a scale of their own, so that what is usual for one and what is
usual for another read alike. `score_statistics` has the formulas.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from thermometer.networks.reference_statistics import N_REFERENCE, reference_statistics
from thermometer.networks.score_statistics import (
    N_FAIR,
    N_PLACES,
    N_SAMPLE,
    fair_statistics,
    place_statistics,
    sample_statistics,
    softened,
)

WIDTHS = {
    "scores": N_SAMPLE,
    "places": N_PLACES,
    "fair": N_FAIR,
    "reference": N_REFERENCE,
}
"""Numbers of each source that is made of scores."""
_FARTHEST = 5.0  # standard deviations; beyond, a number is only known to be far


class ScoreInputs(nn.Module):
    """Statistics of scores, each with mean 0 and deviation 1 over the training rows of its model.

    Values are cut at five deviations, so that scores unlike any of the training cannot throw the
    network out of all bounds. Scores come in divided by the one temperature of their model.

    Args:
        sources: Those of `WIDTHS` that are read.
        n_models: Number A of answering models.

    Example:
        >>> inputs = ScoreInputs(["scores", "fair"])
        >>> z, tasks, models = torch.randn(6, 4), torch.tensor([0, 0, 0, 1, 1, 1]), torch.zeros(6)
        >>> inputs.fit(z, tasks, models.long())
        >>> {name: values.shape for name, values in inputs(z, tasks, models.long()).items()}
        {'scores': torch.Size([6, 12]), 'fair': torch.Size([6, 12])}
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
        """Learn the scale of every number for every model.

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
                # What never differs says nothing: it becomes 0, whatever it is later.
                gain[model] = torch.where(scale > 1e-4, 1 / scale, 0.0)

    def forward(
        self,
        z: Tensor,
        groups: Tensor,
        models: Tensor | int,
        reference: Tensor | None = None,
        only: Iterable[str] | None = None,
    ) -> dict[str, Tensor]:
        """The numbers of each source, (N, R) float32.

        Args:
            z: As for `fit`.
            groups: As for `fit`.
            models: As for `fit`, or one number for all rows.
            reference: As for `fit`.
            only: Of these sources; all by default.
        """
        chosen = self.sources if only is None else frozenset(only) & frozenset(self.sources)
        found = {}
        for name, values in _statistics(chosen, z, groups, reference).items():
            shift, gain = self._scale(name)
            found[name] = ((values - shift[models]) * gain[models]).clamp(-_FARTHEST, _FARTHEST)
        return found

    def _scale(self, name: str) -> tuple[Tensor, Tensor]:
        return getattr(self, f"{name}_shift"), getattr(self, f"{name}_gain")


def _statistics(
    sources: Iterable[str], z: Tensor, groups: Tensor, reference: Tensor | None
) -> dict[str, Tensor]:
    """The numbers of some sources as the formulas have them, not yet on a scale."""
    chosen, found = frozenset(sources), {}
    rows = softened(z, 1.0)
    if "scores" in chosen:
        found["scores"] = sample_statistics(rows)
    if "places" in chosen:
        found["places"] = place_statistics(rows)
    if "fair" in chosen:
        found["fair"] = fair_statistics(rows, groups)
    if "reference" in chosen:
        assert reference is not None
        found["reference"] = reference_statistics(rows, softened(reference, 1.0))
    return found
