"""How an ATS head is trained: numbers only, no code of training."""

from dataclasses import dataclass
from typing import Literal

from thermometer import _checks
from thermometer.ats.objective import LOSSES, Loss


@dataclass(frozen=True)
class AtsTraining:
    """How a head is trained.

    Args:
        loss: See `objective.selective_smoothing`.
        alpha: Likewise.
        smoothing: Likewise.
        batch_size: Pairs in one forward pass.
        accumulate: Batches whose gradients make one step.
        learning_rate: Of AdamW, at the start; it falls to 0 by half a cosine.
        weight_decay: Of AdamW.
        max_steps: Optimisation steps.
        validate_every: Steps between two validations.
        monitor: What validations compare: negative log-likelihood (`nll`), or `loss` itself.
        patience: Validations without improvement after which training stops; 0 for never.
        validation_fraction: Share of the pairs that is set aside; at least one.
        cache_bytes: See `reading.TokenReader`.
        seed: Of everything random.

    Raises:
        ValueError: For numbers out of range or an unknown loss.
    """

    loss: Loss = "selective"
    alpha: float = 0.5
    smoothing: float = 1.0
    batch_size: int = 8
    accumulate: int = 1
    learning_rate: float = 3e-4
    weight_decay: float = 0.01
    max_steps: int = 500
    validate_every: int = 50
    monitor: Literal["nll", "loss"] = "nll"
    patience: int = 5
    validation_fraction: float = 0.1
    cache_bytes: int = 1 << 30
    seed: int = 0

    def __post_init__(self) -> None:
        _checks.one_of("loss", self.loss, LOSSES)
        _checks.one_of("monitor", self.monitor, ("nll", "loss"))
        plain = {  # numpy's numbers would not go into a checkpoint
            "alpha": _checks.number("alpha", self.alpha, 0.0, 1.0),
            "smoothing": _checks.number("smoothing", self.smoothing, 0.0, 1.0),
            "batch_size": _checks.integer("batch_size", self.batch_size),
            "accumulate": _checks.integer("accumulate", self.accumulate),
            "learning_rate": _checks.number("learning_rate", self.learning_rate, strict=True),
            "weight_decay": _checks.number("weight_decay", self.weight_decay),
            "max_steps": _checks.integer("max_steps", self.max_steps),
            "validate_every": _checks.integer("validate_every", self.validate_every),
            "patience": _checks.integer("patience", self.patience, minimum=0),
            "validation_fraction": _checks.number(
                "validation_fraction", self.validation_fraction, 0.0, 0.9, strict=True
            ),
            "cache_bytes": _checks.integer("cache_bytes", self.cache_bytes, minimum=0),
            "seed": _checks.integer("seed", self.seed, minimum=0),
        }
        for name, value in plain.items():
            object.__setattr__(self, name, value)

    @classmethod
    def paper(cls, n_pairs: int, seed: int = 0) -> "AtsTraining":
        """Xie et al. (EMNLP 2024): two epochs, batches of 8, a rate of 5e-5, their code's loss.

        They validated nothing; setting pairs aside and starting at one temperature are ours.
        """
        return cls(
            loss="balanced",
            batch_size=1,
            accumulate=8,
            learning_rate=5e-5,
            weight_decay=0.0,
            max_steps=max(1, 2 * n_pairs // 8),
            patience=0,
            cache_bytes=0,
            seed=seed,
        )
