"""Opening a saved recalibrator, of whichever class it is.

The classes are a closed list: a file chooses among them and cannot name anything else.
"""

from pathlib import Path
from typing import TypeVar

from thermometer.recalibrators import base
from thermometer.recalibrators.base import ConfidenceRecalibrator, Recalibrator, ScoreRecalibrator
from thermometer.recalibrators.bias import (
    BatchCalibration,
    ContextualCalibration,
    DomainContextCalibration,
)
from thermometer.recalibrators.confidence import (
    HistogramBinning,
    IsotonicCalibration,
    PlattScaling,
    StatedConfidenceCalibration,
)
from thermometer.recalibrators.temperature import TemperatureScaling

_Kind = TypeVar("_Kind", bound=Recalibrator)

CLASSES: dict[str, type[ScoreRecalibrator] | type[ConfidenceRecalibrator]] = {
    kind.__name__: kind
    for kind in (
        TemperatureScaling,
        PlattScaling,
        IsotonicCalibration,
        HistogramBinning,
        StatedConfidenceCalibration,
        BatchCalibration,
        ContextualCalibration,
        DomainContextCalibration,
    )
}


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
    file = Path(folder) / base.CONFIG
    name = base.read_name(folder)
    if name not in CLASSES:
        known = ", ".join(sorted(CLASSES))
        raise ValueError(f"{file}: expected class to be one of {known}, got {name!r}")
    return restored(folder, CLASSES[name])


def restored(folder: str | Path, kind: type[_Kind]) -> _Kind:
    """The fitted recalibrator of a known class; errors are those of `load`."""
    content = base.read(folder, set(kind().get_params(deep=False)), kind.fitted)
    try:
        recalibrator = kind(**content.parameters)
        for key, value in content.fitted.items():
            setattr(recalibrator, key, value)
        recalibrator._check_parameters()
        recalibrator._check_fit()
    except (TypeError, ValueError) as error:
        raise ValueError(f"{Path(folder) / base.CONFIG}: {error}") from error
    return recalibrator
