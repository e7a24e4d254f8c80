"""The models of a command on the accelerator, each loaded once."""

from thermometer.calibrated_lm import CalibratedLM
from thermometer.calibrator import Calibrator
from thermometer.experiment import ModelSpec


def placed(model: ModelSpec, calibrator: Calibrator) -> CalibratedLM:
    """Load the answering model, and the one that gives features where that is another.

    Args:
        model: The answering model.
        calibrator: What calibrates it.
    """
    large = CalibratedLM(model.load().to_accelerator(), calibrator)
    if "features" in calibrator.reads and not large.reads_itself:
        calibrator.language_model.to_accelerator()
    return large
