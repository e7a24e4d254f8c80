"""From the responses of a black-box model's server to calibrated probabilities."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from thermometer.logprobs.probabilities import option_probabilities
from thermometer.types import Calibration

if TYPE_CHECKING:  # would load torch, which reading responses does without
    from thermometer.calibrator import Calibrator, Level
    from thermometer.prompt_inputs import Prompts


def calibrate_responses(
    calibrator: "Calibrator",
    responses: Sequence[Any],
    options: Sequence[str] | Sequence[Sequence[str]],
    prompts: "Prompts | None" = None,
    *,
    reference_scores: ArrayLike | None = None,
    level: "Level" = "sample",
    **reading: Any,
) -> Calibration:
    """Calibrated probabilities from the responses of a black-box model's server.

    Args:
        calibrator: Trained for scores of the model that responded.
        responses: N of them, with log-probabilities: objects of a client, dicts or JSON text.
        options: Texts that the model chose among; for each row its own, or the same for all.
        prompts: As for `Calibrator.calibrate`, if the thermometer reads features or reference
            scores.
        reference_scores: As for `Calibrator.calibrate`; say, `option_probabilities(...).scores`.
        level: As for `Calibrator.calibrate`.
        **reading: See `option_probabilities`, which has raw probabilities and bounds.

    Returns:
        As `Calibrator.calibrate`, with warnings of responses that say too little.

    Raises:
        ValueError: As `Calibrator.calibrate`, and for responses without log-probabilities.

    Example:
        >>> from thermometer.calibrator import Calibrator
        >>> from thermometer.checkpoint import TrainingRecord
        >>> from thermometer.networks.thermometer import Thermometer, ThermometerConfig
        >>> network = Thermometer(ThermometerConfig.scores_only())
        >>> calibrator = Calibrator(network, TrainingRecord(["law"], 1.0))
        >>> listed = [{"token": "A", "logprob": -0.3}, {"token": "B", "logprob": -1.6}]
        >>> content = [{"token": "A", "logprob": -0.3, "top_logprobs": listed}]
        >>> response = {"choices": [{"message": {}, "logprobs": {"content": content}}]}
        >>> calibrate_responses(calibrator, [response], ["A", "B"]).prediction.tolist()
        [0]
    """
    found = option_probabilities(responses, options, **reading)
    result = calibrator.calibrate(
        prompts, found.scores, reference_scores=reference_scores, level=level
    )
    return replace(result, warnings=(*result.warnings, *found.warnings))
