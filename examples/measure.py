"""Measure the confidence that a model stated, mend it, and measure again.

``python examples/measure.py [FOLDER]``. The answers are made up, so that it runs anywhere: they are
too sure of themselves, most of all in law. Put your own arrays in place of `make_answers`.
"""

import sys

import numpy as np

import thermometer as th
from thermometer.recalibrators.recommend import recommend


def make_answers(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Stated confidence, whether the answer was right, and columns that describe the question."""
    rng = np.random.default_rng(seed)
    stated = rng.choice([0.6, 0.7, 0.8, 0.9, 0.95, 1.0], n, p=[0.1, 0.1, 0.2, 0.3, 0.2, 0.1])
    topic = rng.choice(["law", "history", "biology"], n)
    chance = 0.2 + 0.6 * stated - 0.15 * (topic == "law")
    return stated, rng.random(n) < chance, {"topic": topic, "words": rng.integers(5, 80, n)}


def main(folder: str) -> None:
    """Learn on labelled answers, test on others."""
    stated, correct, _ = make_answers(1500, seed=0)
    advice = recommend(confidence=stated, correct=correct)
    print(advice.reason, "\n")

    stated, correct, columns = make_answers(1500, seed=1)
    series = {"stated": stated, "recalibrated": advice.apply(confidence=stated)}
    report = th.measure(series, correct, by=columns, title="Stated confidence, before and after")
    report.print(pictures=True)
    print("\n" + str(report.write(folder) / "report.html"))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "outputs/measure")
