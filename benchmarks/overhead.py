"""Milliseconds that a thermometer takes for 1,000 prompts whose features and scores are at hand.

.venv/bin/python benchmarks/overhead.py      # one core, median of 50 after warm-up
"""

import statistics
import time

import torch

from thermometer.network import Thermometer
from thermometer.presets import PRESETS, resolve

N_PROMPTS, N_FEATURES, N_OPTIONS = 1000, 576, 4  # features of SmolLM2-135M


def main():
    torch.set_num_threads(1)
    features, scores = torch.randn(N_PROMPTS, N_FEATURES), 5 * torch.randn(N_PROMPTS, N_OPTIONS)
    for preset in PRESETS:
        config, _ = resolve(preset, {}, {})
        reads_features = "features" in config.sources
        network = Thermometer(config, N_FEATURES if reads_features else 0).eval()
        times = []
        with torch.inference_mode():
            for _ in range(60):
                start = time.perf_counter()
                network(features if reads_features else None, scores)
                times.append(1e3 * (time.perf_counter() - start))
        print(f"{preset:9s} {statistics.median(times[10:]):6.2f} ms")


if __name__ == "__main__":
    main()
