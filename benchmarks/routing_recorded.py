"""The guarantee on answers of five real models: how often is the stated risk exceeded?

.venv/bin/python benchmarks/routing_recorded.py --data ../shared/data/recorded/confidence
"""

import argparse
import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from thermometer.routing import guaranteed_threshold

RESULTS = Path(__file__).parent / "results" / "routing_recorded.json"
RISKS, DELTA, LABELS, DRAWS = (0.1, 0.2, 0.3), 0.1, 2000, 300
SIGNALS = ("stated", "sequence_probability")


def series(folder):
    """Confidences and outcomes of every model by every signal, as recorded."""
    for file in sorted(folder.glob("*/*.parquet")):
        table = pq.read_table(file, columns=["correct", *SIGNALS])
        correct = table["correct"].to_numpy().astype(np.float64)
        for signal in SIGNALS:
            confidence = table[signal].to_numpy().astype(np.float64)
            known = np.isfinite(confidence)
            yield f"{file.parent.name}/{file.stem}, {signal}", confidence[known], correct[known]


def measure(confidence, correct):
    """Labels are drawn out of all answers, and these are the truth."""
    rng = np.random.default_rng(0)
    values = np.unique(confidence)
    order = np.argsort(-confidence)
    counts = np.searchsorted(-confidence[order], -values, side="right")
    true = np.cumsum(1 - correct[order])[counts - 1] / counts
    found = {"answers": len(correct), "error": round(float(1 - correct.mean()), 3), "risks": []}
    for risk in RISKS:
        safe = values[true <= risk]
        best = float(np.mean(confidence >= safe.min())) if len(safe) else 0.0
        violated, shares = 0, []
        for _ in range(DRAWS):
            rows = rng.permutation(len(correct))[:LABELS]
            one = guaranteed_threshold(confidence[rows], correct[rows], risk=risk, delta=DELTA)
            if one.enough:
                violated += bool(true[np.searchsorted(values, one.threshold)] > risk)
                shares.append(np.mean(confidence >= one.threshold))
        found["risks"].append(
            {
                "risk": risk,
                "violated": round(violated / DRAWS, 3),
                "refused": round(1 - len(shares) / DRAWS, 3),
                "mean_share": round(float(np.sum(shares)) / DRAWS, 3),
                "oracle_share": round(best, 3),
            }
        )
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    result = {
        "command": "benchmarks/routing_recorded.py --data ../shared/data/recorded/confidence",
        "version": version("thermometer"),
        "labels": LABELS,
        "draws": DRAWS,
        "delta": DELTA,
        "series": {},
    }
    for name, confidence, correct in series(chosen.data):
        result["series"][name] = measure(confidence, correct)
        print(name, result["series"][name], flush=True)
    chosen.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
