"""Accept, review or reject: a threshold with a guarantee, decisions that do not flicker, words.

``python examples/routing.py``. The answers are made up, so that it runs anywhere. Put your own
labelled answers in place of `make_answers`, and your own calibrated confidences after them.
"""

import numpy as np

from thermometer.display import Confidence, line
from thermometer.routing import Router, guaranteed_threshold


def make_answers(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated confidence and whether the answer was right, one answer of each customer."""
    rng = np.random.default_rng(seed)
    confidence = rng.beta(5.0, 1.5, size=n)
    return confidence, rng.random(n) < confidence


def main() -> None:
    """Choose on labelled answers, then decide on new ones as they come."""
    found = guaranteed_threshold(*make_answers(60, seed=0), risk=0.15, delta=0.1)
    print(found, "\n")
    found = guaranteed_threshold(*make_answers(2000, seed=1), risk=0.15, delta=0.1)
    print(found, "\n")

    router = Router(found.bands(reject=0.6, width=1.0))
    rng = np.random.default_rng(2)
    log_odds = rng.normal(1.4, 0.8, size=(200, 1)) + rng.normal(0.0, 0.4, size=(200, 50))
    confidences = 1 / (1 + np.exp(-log_odds))  # each customer's answers are alike, but for noise
    for step in range(50):
        for customer in range(200):
            confidence = confidences[customer, step]
            decision = router.decide(f"customer {customer}", confidence)
            if customer == 35 and step < 8:
                shown = line(Confidence(confidence, calibrated=True), ascii=True)
                print(f"{decision.action:7} {shown}")
    print(f"\n{router.decisions}, {router.changes} changes")
    router = Router.from_json(router.to_json())  # and go on tomorrow


if __name__ == "__main__":
    main()
