"""What a thermometer costs: milliseconds for its temperatures, and the share of a forward pass.

.venv/bin/python benchmarks/overhead.py      # one core, processor time, median of 50

The time is that of 1,000 prompts whose features and scores are at hand. The share is computed: a
block of a Llama-like model multiplies each token by its matrices, and each query by the keys and
values before it, 2 operations for each weight and 2 x 2 for each number of a key:

    2 (2 h^2 + 2 h v + 3 h m) + 2 h L,    h hidden, v width of keys, m of the MLP, L tokens

(half of the L keys on average). The output head runs at few positions and is left out.
"""

import statistics
import time

import torch

from thermometer.network import Thermometer
from thermometer.training import PRESETS, resolve

N_PROMPTS, N_FEATURES, N_OPTIONS = 1000, 576, 4  # features of SmolLM2-135M
LENGTH = 200
SHAPES = {  # blocks, hidden, width of keys, of the MLP
    "Llama-3.1-8B": (32, 4096, 1024, 14336),
    "Llama-3.2-1B, all 16 blocks": (16, 2048, 512, 8192),
    "Llama-3.2-1B, 8 of 16 blocks": (8, 2048, 512, 8192),
    "SmolLM2-135M, 12 of 30 blocks": (12, 576, 192, 1536),
}


def operations(blocks, hidden, keys, mlp):
    """For each token of a prompt."""
    weights = 2 * hidden**2 + 2 * hidden * keys + 3 * hidden * mlp
    return blocks * (2 * weights + 2 * hidden * LENGTH)


def main():
    torch.set_num_threads(1)
    scores, other = 5 * torch.randn(2, N_PROMPTS, N_OPTIONS)
    columns = {
        "features": torch.randn(N_PROMPTS, N_FEATURES),
        "scores": scores,
        "reference_scores": other,
    }
    for preset in PRESETS:
        config, _ = resolve(preset, {}, {})
        reads_features = "features" in config.sources
        network = Thermometer(config, N_FEATURES if reads_features else 0).eval()
        given = {name: columns[name] for name in config.needs}
        times = []
        with torch.inference_mode():
            for _ in range(60):
                start = time.process_time()
                network(**given)
                times.append(1e3 * (time.process_time() - start))
        print(f"{preset:9s} {statistics.median(times[10:]):6.2f} ms")
    whole = operations(*SHAPES["Llama-3.1-8B"])
    for name, shape in SHAPES.items():
        print(f"{name:30s} {operations(*shape) / whole:6.1%} of a forward pass of Llama-3.1-8B")


if __name__ == "__main__":
    main()
