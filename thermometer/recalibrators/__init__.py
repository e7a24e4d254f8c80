"""The other recalibrators, behind one protocol, to compare with a thermometer or to use instead.

Those whose `reads` is "scores" turn (N, K) option scores into option probabilities; those whose
`reads` is "confidence" turn (N,) confidences into the probability that the answer is right. All are
scikit-learn estimators, saved by `save_pretrained` and opened by `load`. Nothing here needs torch.
"""

from thermometer.recalibrators.base import ConfidenceRecalibrator as ConfidenceRecalibrator
from thermometer.recalibrators.base import InvertedSoftmax as InvertedSoftmax
from thermometer.recalibrators.base import ScoreRecalibrator as ScoreRecalibrator
from thermometer.recalibrators.base import invert_softmax as invert_softmax
from thermometer.recalibrators.base import with_confidence as with_confidence
from thermometer.recalibrators.bias import BatchCalibration as BatchCalibration
from thermometer.recalibrators.bias import ContextualCalibration as ContextualCalibration
from thermometer.recalibrators.bias import DomainContextCalibration as DomainContextCalibration
from thermometer.recalibrators.bias import content_free_task as content_free_task
from thermometer.recalibrators.bias import domain_text_task as domain_text_task
from thermometer.recalibrators.confidence import HistogramBinning as HistogramBinning
from thermometer.recalibrators.confidence import IsotonicCalibration as IsotonicCalibration
from thermometer.recalibrators.confidence import PlattScaling as PlattScaling
from thermometer.recalibrators.confidence import (
    StatedConfidenceCalibration as StatedConfidenceCalibration,
)
from thermometer.recalibrators.loading import load as load
from thermometer.recalibrators.temperature import TemperatureScaling as TemperatureScaling
