"""The models of a command on the accelerator, each loaded once."""

from thermometer.adaptation import for_model
from thermometer.answered_by import doubts, place_of, scores_template
from thermometer.calibrated_lm import CalibratedLM
from thermometer.calibrator import Calibrator
from thermometer.model_spec import Source


def placed(model: Source, calibrator: Calibrator) -> CalibratedLM:
    """Load the answering model, and those that give features and reference scores.

    A thermometer for several answering models is set to the one that is loaded. If it was trained
    for none such, that is printed.

    Args:
        model: The answering model.
        calibrator: What calibrates it.

    Raises:
        ValueError: Before anything is loaded, if the checkpoint does not say how to ask the model.
    """
    template, targets = scores_template(calibrator.target), calibrator.record.targets
    lm = model.load().to_accelerator()
    made = lm.provenance(template)
    if (place := place_of(targets, made)) is not None:
        calibrator = for_model(calibrator, place)
    else:
        for doubt in doubts(targets, made):
            print(f"warning     {doubt}")  # noqa: T201
    large = CalibratedLM(lm, calibrator)
    for name, origin in calibrator.origins.items():
        if name in calibrator.reads and not (name == "features" and large.reads_itself):
            origin.lm.to_accelerator()
    return large
