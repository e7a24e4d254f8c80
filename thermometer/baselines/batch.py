"""Batch calibration: the model's tendency, learned from the unlabelled questions themselves.

It reads option scores. The formula is in `prior`.
"""

from thermometer.baselines.prior import PriorCalibration


class BatchCalibration(PriorCalibration):
    """Divide option probabilities by their mean over a batch of the task (Zhou 2023).

    The batch is usually the very questions to be answered: ``fit(scores).predict_proba(scores)``,
    without labels. A dozen rows already help. It assumes that each position is right about
    equally often, and takes a real majority for a tendency of the model; a batch of one row
    becomes uniform. Formula, arguments and errors are those of `PriorCalibration`: **the answer may
    change**.

    Zhou, Wan, Proleev, Mincu, Chen, Heller and Roy, "Batch calibration: rethinking calibration for
    in-context learning and prompt engineering" (2023, arXiv 2309.17249).

    Example:
        >>> scores = [[2.0, 0.0], [1.0, 0.0]]  # says the first option, whatever the question
        >>> BatchCalibration().fit(scores).predict_proba(scores).argmax(axis=1).tolist()
        [0, 1]
    """
