"""The models of a command on the accelerator, each loaded once."""

from thermometer.answered_by import doubts, scores_template
from thermometer.calibrated_lm import CalibratedLM
from thermometer.calibrator import Calibrator
from thermometer.experiment import ModelSpec


def placed(model: ModelSpec, calibrator: Calibrator) -> CalibratedLM:
    """Load the answering model, and those that give features and reference scores.

    If the answering model is not the one that the thermometer was trained for, that is printed.

    Args:
        model: The answering model.
        calibrator: What calibrates it.

    Raises:
        ValueError: Before anything is loaded, if the checkpoint does not say how to ask the model.
    """
    template = scores_template(calibrator)
    large = CalibratedLM(model.load().to_accelerator(), calibrator)
    for doubt in doubts(calibrator, large.lm.provenance(template)):
        print(f"warning     {doubt}")  # noqa: T201
    for name, origin in calibrator.origins.items():
        if name in calibrator.reads and not (name == "features" and large.reads_itself):
            origin.lm.to_accelerator()
    return large
