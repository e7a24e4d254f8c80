"""Temperatures for prompts that come one after another, with forgetting.

The latest prompts are the context of the next, so that a stream that changes its subject changes
its temperature. Features and scores come in as numbers.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from thermometer import _checks
from thermometer.calibrator import Calibrator

Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Streamed:
    """What a stream says of some prompts.

    Args:
        temperature: (N,) of each prompt, > 0.
        task_temperature: (N,) running temperature of the stream after each prompt: the harmonic
            mean of all so far, weighted by 2^(-age / half_life).
    """

    temperature: Vector
    task_temperature: Vector


class TemperatureStream:
    """Predicts the temperature of each prompt of a stream, and a running one.

    Args:
        calibrator: Any thermometer.
        window: Number of latest prompts that serve as context, the new one among them.
        half_life: Number of prompts after which one counts half in the running temperature.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> from thermometer.checkpoint import TrainingRecord
        >>> from thermometer.networks.thermometer import Thermometer, ThermometerConfig
        >>> network = Thermometer(ThermometerConfig.scores_only())
        >>> stream = TemperatureStream(Calibrator(network, TrainingRecord(["law"], 1.0)))
        >>> stream.push(scores=[[2.0, 0.0], [1.0, 0.5]]).temperature.shape
        (2,)
    """

    def __init__(self, calibrator: Calibrator, window: int = 200, half_life: float = 100.0) -> None:
        self.calibrator = calibrator
        self.window = _checks.integer("window", window)
        self.half_life = _checks.number("half_life", half_life, strict=True)
        self._latest: dict[str, NDArray[Any]] = {}
        self._sum, self._weight = 0.0, 0.0

    def push(
        self,
        scores: ArrayLike | None = None,
        features: ArrayLike | None = None,
        reference_scores: ArrayLike | None = None,
    ) -> Streamed:
        """Temperatures of the next N prompts, in order; each sees only those before it.

        Args:
            scores: (N, K) of the answering model, if the thermometer reads them; K may differ from
                call to call, ``-inf`` pads short rows.
            features: (N, D) of the small model, if the thermometer reads them.
            reference_scores: (N, K) of the reference model, if the thermometer reads them.

        Raises:
            ValueError: If something that is read is missing or malformed, or lengths differ. The
                stream stays as it was.
        """
        given = {
            "scores": None if scores is None else _checks.score_matrix("scores", scores),
            "features": None if features is None else self._features(features),
            "reference_scores": None
            if reference_scores is None
            else _checks.score_matrix("reference_scores", reference_scores),
        }
        for name in sorted(self.calibrator.reads):
            if given[name] is None:
                raise _checks.fail(name, f"given, since this thermometer reads {name}", "None")
        rows = {name: values for name, values in given.items() if values is not None}
        sizes = {name: len(values) for name, values in rows.items()}
        if len(set(sizes.values())) != 1:
            raise _checks.fail(" and ".join(given), "of one length", sizes)
        if "scores" in rows and "reference_scores" in rows:
            _checks.same_options(rows["scores"], rows["reference_scores"])
        temperature, running = [], []
        forgetting = 0.5 ** (1 / self.half_life)
        for row in range(next(iter(sizes.values()))):
            for name, values in rows.items():
                old = self._latest.get(name)
                self._latest[name] = _joined(old, values[row : row + 1], self.window)
            temperature.append(self._last())
            self._sum = forgetting * self._sum + 1 / temperature[-1]
            self._weight = forgetting * self._weight + 1
            running.append(self._weight / self._sum)
        return Streamed(np.array(temperature), np.array(running))

    def _features(self, values: ArrayLike) -> NDArray[Any]:
        """Features of the width of the training: wrong ones would stay in the window."""
        found = _checks.array("features", values, np.float32)
        width = self.calibrator.thermometer.n_features
        if found.ndim != 2 or width not in (0, found.shape[1]):
            raise _checks.fail("features", f"of shape (N, {width or 'D'})", f"shape {found.shape}")
        if not np.isfinite(found).all():
            row = int(np.flatnonzero(~np.isfinite(found).all(axis=1))[0])
            raise _checks.fail("features", "finite", f"NaN or infinity at row {row}")
        return found

    def _last(self) -> float:
        """Temperature of the last prompt, in the context of the window."""
        with torch.inference_mode():
            given = {name: torch.tensor(values) for name, values in self._latest.items()}
            found = self.calibrator.thermometer(**given, model=self.calibrator.model)
        return float(found[-1])


def _joined(old: NDArray[Any] | None, new: NDArray[Any], window: int) -> NDArray[Any]:
    """The latest rows; scores of different K are padded with ``-inf``."""
    if old is None:
        return new
    width = max(old.shape[1], new.shape[1])
    both = [
        np.pad(rows, ((0, 0), (0, width - rows.shape[1])), constant_values=-np.inf)
        for rows in (old, new)
    ]
    return np.concatenate(both)[-window:]
