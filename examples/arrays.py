"""Everything from numbers that you have: numpy, torch, pandas or pyarrow, and no language model.

python examples/arrays.py

The scores are made up: 4 options, logits three times too large. Put your own in their place.
"""

import numpy as np
import pandas as pd
import torch

import thermometer as th
from thermometer import metrics
from thermometer.recalibrators.confidence import PlattScaling
from thermometer.routing import Router, guaranteed_threshold


def make_scores(n, seed):
    """Logits of a model that knows something but exaggerates, and the right options."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, n)
    logits = rng.normal(size=(n, 4))
    logits[np.arange(n), labels] += 1.0
    return 3 * logits, labels


def main():
    """Fit on labelled answers, measure on others, decide."""
    scores, labels = make_scores(2000, seed=0)
    fit = th.fit_temperature(torch.tensor(scores, dtype=torch.bfloat16), labels)
    print(f"temperature {fit.temperature:.2f} from {fit.n} tensors of bfloat16")

    scores, labels = make_scores(2000, seed=1)
    frame = pd.DataFrame({"scores": scores.tolist(), "label": labels})  # as a file would hold them
    rows = {}
    for name, temperature in (("as it is", 1.0), ("calibrated", fit.temperature)):
        probs = th.scale_scores(frame["scores"], temperature)
        rows[name], correct = metrics.top_label(probs, frame["label"])
        print(f"{name}: NLL {metrics.nll(probs, frame['label']):.3f}")
    print(th.measure(rows, correct, n_resamples=200, advise=False).verdict)

    platt = PlattScaling().fit(pd.Series(rows["as it is"]), correct)  # confidences alone will do
    mended = platt.recalibrate(rows["as it is"])
    print(f"by confidences alone: ECE {metrics.expected_calibration_error(mended, correct):.3f}")

    found = guaranteed_threshold(torch.tensor(rows["calibrated"]), correct, risk=0.4)
    router = Router(found.bands())
    print(found, router.decide("first", rows["calibrated"][0]).action, sep="\n")


if __name__ == "__main__":
    main()
