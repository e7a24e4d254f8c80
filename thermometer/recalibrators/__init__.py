"""The other recalibrators, behind one protocol, to compare with a thermometer or to use instead.

Those whose `reads` is "scores" turn (N, K) option scores into option probabilities; those whose
`reads` is "confidence" turn (N,) confidences into the probability that the answer is right. All are
scikit-learn estimators, saved by `save_pretrained` and opened by `load`; none needs torch.
"""

from pathlib import Path

from thermometer.recalibrators.base import CONFIG, read_name, restored
from thermometer.recalibrators.base import ConfidenceRecalibrator as ConfidenceRecalibrator
from thermometer.recalibrators.base import InvertedSoftmax as InvertedSoftmax
from thermometer.recalibrators.base import ScoreRecalibrator as ScoreRecalibrator
from thermometer.recalibrators.base import invert_softmax as invert_softmax
from thermometer.recalibrators.base import with_confidence as with_confidence
from thermometer.recalibrators.confidence import HistogramBinning as HistogramBinning
from thermometer.recalibrators.confidence import IsotonicCalibration as IsotonicCalibration
from thermometer.recalibrators.confidence import PlattScaling as PlattScaling
from thermometer.recalibrators.confidence import (
    StatedConfidenceCalibration as StatedConfidenceCalibration,
)
from thermometer.recalibrators.scores import BatchCalibration as BatchCalibration
from thermometer.recalibrators.scores import TemperatureScaling as TemperatureScaling

CLASSES: dict[str, type[ScoreRecalibrator] | type[ConfidenceRecalibrator]] = {
    kind.__name__: kind
    for kind in (
        TemperatureScaling,
        PlattScaling,
        IsotonicCalibration,
        HistogramBinning,
        StatedConfidenceCalibration,
        BatchCalibration,
    )
}
"""What a file may name; nothing else can be loaded."""


def load(folder: str | Path) -> ScoreRecalibrator | ConfidenceRecalibrator:
    """Load what `save_pretrained` wrote; nothing in it is executed.

    Returns:
        The fitted recalibrator; its `reads` says what to give it.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: For an unknown class, a missing, unknown or mistyped key, a newer format, values
            that no fit gives, or a damaged file. The message names the file and the key.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     PlattScaling().fit([0.6, 0.9, 0.8], [0, 1, 1]).save_pretrained(folder)
        ...     print(load(folder))
        PlattScaling()
    """
    name = read_name(folder)
    if name not in CLASSES:
        file, known = Path(folder) / CONFIG, ", ".join(sorted(CLASSES))
        raise ValueError(f"{file}: expected class to be one of {known}, got {name!r}")
    return restored(folder, CLASSES[name])
