"""The other recalibrators, behind one protocol, to compare with a thermometer or to use instead.

Those whose `reads` is "scores" turn (N, K) option scores into option probabilities; those whose
`reads` is "confidence" turn (N,) confidences into the probability that the answer is right. All are
scikit-learn estimators, saved by `save_pretrained` and opened by `load`. Nothing here needs torch.
"""

from thermometer.baselines.batch import BatchCalibration as BatchCalibration
from thermometer.baselines.contextual import ContextualCalibration as ContextualCalibration
from thermometer.baselines.contextual import content_free_task as content_free_task
from thermometer.baselines.domain_context import (
    DomainContextCalibration as DomainContextCalibration,
)
from thermometer.baselines.domain_context import domain_text_task as domain_text_task
from thermometer.baselines.histogram import HistogramBinning as HistogramBinning
from thermometer.baselines.isotonic import IsotonicCalibration as IsotonicCalibration
from thermometer.baselines.loading import load as load
from thermometer.baselines.platt import PlattScaling as PlattScaling
from thermometer.baselines.probabilities import InvertedSoftmax as InvertedSoftmax
from thermometer.baselines.probabilities import invert_softmax as invert_softmax
from thermometer.baselines.probabilities import with_confidence as with_confidence
from thermometer.baselines.protocol import ConfidenceRecalibrator as ConfidenceRecalibrator
from thermometer.baselines.protocol import ScoreRecalibrator as ScoreRecalibrator
from thermometer.baselines.stated import StatedConfidenceCalibration as StatedConfidenceCalibration
from thermometer.baselines.temperature import TemperatureScaling as TemperatureScaling
