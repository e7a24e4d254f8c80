"""One confidence from several signals, some of which are missing.

``python examples/ensemble.py``. The answers are made up, so that it runs anywhere. Put your own
labelled answers in place of `make_answers`: what your model stated, how often it said the same
again, how probable its words were (`thermometer.signals`), and which answers were right.
"""

import numpy as np

from thermometer import metrics
from thermometer.recalibrators.confidence import StatedConfidenceCalibration
from thermometer.signals.ensemble import SignalEnsemble


def make_answers(n: int, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Three signals of how sure a model is, whether it was right, and the task of each answer."""
    rng = np.random.default_rng(seed)
    task = rng.integers(8, size=n)
    knows = rng.normal(rng.normal(0.3, 0.5, 8)[task], 1.2)
    stated = np.clip(0.8 + 0.08 * (knows + rng.normal(0, 2, n)), 0, 1).round(1)  # mostly too high
    stated[rng.random(n) < np.where(knows < 0, 0.15, 0.02)] = np.nan  # no number in the reply
    agreement = rng.binomial(10, 1 / (1 + np.exp(-2 * knows - rng.normal(0, 1, n)))) / 10
    probability = np.exp(-rng.gamma(2, 0.3, n) * np.exp(-0.4 * knows))
    signals = {"stated": stated, "agreement": agreement, "probability": probability}
    return signals, rng.random(n) < 1 / (1 + np.exp(-2 * knows)), task


def main() -> None:
    """Learn on eight tasks, predict eight others, with and without one of the signals."""
    signals, correct, task = make_answers(4000, seed=0)
    new, right, _ = make_answers(4000, seed=1)
    ensemble = SignalEnsemble().fit(signals, correct, tasks=task)
    print(
        "log-odds between deciles:", {k: round(v, 1) for k, v in ensemble.weights.signals.items()}
    )

    alone = StatedConfidenceCalibration().fit(signals["stated"], correct)
    found = {
        "stated, recalibrated": alone.recalibrate(new["stated"]),
        "all three": ensemble.predict(new),
        "without agreement": ensemble.predict({k: new[k] for k in ("stated", "probability")}),
    }
    for name, confidence in found.items():
        loss, order = metrics.binary_nll(confidence, right), metrics.auroc(confidence, right)
        print(f"{name:21} NLL {loss:.3f}  AUROC {order:.3f}")
    told = ensemble.predict({"stated": [0.9, np.nan], "agreement": [0.4, 0.4]})
    print(f"\n0.9 stated, 4 of 10 agree: {told[0]:.2f}; no number in the reply: {told[1]:.2f}")


if __name__ == "__main__":
    main()
