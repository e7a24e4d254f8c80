"""Watch a model in use: an alarm when its confidence goes wrong, a refit, and a page to look at.

``python examples/monitoring.py [FOLDER]``. The answers are made up, so that it runs anywhere: after
4,000 of them the questions become harder, most of all in law. Put your own service in place of
`make_answers`.
"""

import sys
from pathlib import Path

import numpy as np

from thermometer.monitoring import Monitor


def make_answers(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Confidence, whether the answer was right, and the topic of each question."""
    rng = np.random.default_rng(seed)
    confidence = rng.beta(4, 2, n)
    topic = rng.choice(["law", "history", "biology"], n)
    harder = (np.arange(n) >= 4000) * np.where(topic == "law", 0.25, 0.2)
    return confidence, rng.random(n) < confidence - harder, topic.tolist()


def main(folder: str) -> None:
    """Predictions as they are made, labels as they come, a refit on an alarm of all answers."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    confidence, correct, topic = make_answers(8000, seed=0)
    with Monitor(Path(folder) / "monitor.db") as monitor:
        for start in range(0, 8000, 100):
            rows = slice(start, start + 100)
            ids = [f"answer-{i}" for i in range(start, start + 100)]
            monitor.record_many(ids, confidence[rows], segment=topic[rows])
            receipt = monitor.label_many(ids, correct[rows])
            for episode in receipt.changes:
                where = episode.segment or "all answers"
                print(f"{start + 100}: {where} {episode.verdict} since {episode.onset}")
                if episode.ended is None and episode.segment is None:
                    print(f"{start + 100}: {monitor.refit(since=episode.onset)} fitted")
        state = monitor.state()
    state.print()
    print("\n" + str(state.write(Path(folder) / "monitor.html")))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "outputs/monitoring")
