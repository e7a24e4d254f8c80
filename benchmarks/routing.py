"""Routing: changes of decision with and without hysteresis, the guarantee over 1,000 data sets.

OMP_NUM_THREADS=1 .venv/bin/python benchmarks/routing.py

Parts can be chosen with --only; the others stay in the file as they are.
"""

import argparse
import json
import os
import platform
import time
import tracemalloc
from importlib.metadata import version
from pathlib import Path

import numpy as np
from scipy.optimize import brentq
from scipy.special import bdtr, expit, logit
from simulation import CalibrationMap, Segment, map_with_ece, simulate_conversations

from thermometer.routing import Bands, Router, guaranteed_threshold, held_confidence

RESULTS = Path(__file__).parent / "results" / "routing.json"
CONVERSATIONS, ANSWERS = 400, 2000
WANDERING = (  # spread, persistence, noise: how conversations wander and how noisy they are seen
    *((0.5, 0.99, 0.5), (0.5, 0.99, 0.25), (0.5, 0.99, 1.0), (0.5, 0.95, 0.5)),
    *((0.5, 0.999, 0.5), (1.0, 0.99, 0.5), (1.0, 0.99, 1.0)),
)


def overconfident(ece, shape):
    return Segment(map_with_ece(ece, shape), shape)


WORLDS = {  # traffic and the stated risk
    "calibrated, beta(5, 1), risk 0.1": (Segment(shape=(5.0, 1.0)), 0.1),
    "calibrated, beta(5, 1), risk 0.05": (Segment(shape=(5.0, 1.0)), 0.05),
    "calibrated, beta(4, 2), risk 0.2": (Segment(), 0.2),
    "overconfident by 0.05, beta(5, 1), risk 0.1": (overconfident(0.05, (5.0, 1.0)), 0.1),
    "too modest, slope 2, beta(3, 2), risk 0.1": (Segment(CalibrationMap(2.0), (3.0, 2.0)), 0.1),
    "hard: overconfident by 0.08, beta(8, 2), risk 0.1": (overconfident(0.08, (8.0, 2.0)), 0.1),
    "hard: calibrated, beta(4, 2), risk 0.1": (Segment(), 0.1),
}
DELTA, SETS = 0.1, 1000
LABELS = ((500, 0), (2000, 0), (2000, 2000), (8000, 0))  # labelled and unlabelled answers


def accepted_by(router, confidence):
    """What a router accepts, (K, L); each row is a key."""
    return np.array(
        [
            [router.decide(str(key), c).action == "accept" for c in row]
            for key, row in enumerate(confidence.tolist())
        ]
    )


def replay(bands, confidence):
    """The same for bands without rejection, all keys at once."""
    accepted = np.zeros(confidence.shape, bool)
    state = np.zeros(len(confidence), bool)
    for step in range(confidence.shape[1]):
        c = confidence[:, step]
        state = c >= np.where(state, bands.accept_until, bands.accept_above)
        accepted[:, step] = state
    return accepted


def noise_of(confidence):
    """Standard deviation of the noise in logits, as a user can see it."""
    return float(np.std(np.diff(logit(confidence), axis=1)) / np.sqrt(2))


def told(accepted, wrong):
    changes = (accepted[:, 1:] != accepted[:, :-1]).mean()
    return {
        "changes_per_1000": round(1000 * float(changes), 2),
        "share_accepted": round(float(accepted.mean()), 4),
        "error": round(float(wrong[accepted].mean()), 4),
    }


def cut_with_error(confidence, wrong, error):
    """The hard cutoff whose accepted answers have this error."""
    order = np.argsort(-confidence, axis=None)
    running = np.cumsum(wrong.ravel()[order]) / np.arange(1, order.size + 1)
    place = int(np.flatnonzero(running <= error)[-1])
    return confidence.ravel()[order[place]]


def compare(drawn, width):
    """Hysteresis around 0.8 beside hard cutoffs of the same share, and of the same error."""
    confidence, wrong = drawn.confidence, 1 - drawn.probability
    middle = logit(0.8)
    bands = Bands(expit(middle + width / 2), expit(middle - width / 2))
    accepted = replay(bands, confidence)
    same_share = confidence >= np.quantile(confidence, 1 - accepted.mean())
    same_error = confidence >= cut_with_error(confidence, wrong, wrong[accepted].mean())
    result = {
        "width": round(width, 3),
        "hysteresis": told(accepted, wrong),
        "cutoff_same_share": told(same_share, wrong),
        "cutoff_same_error": told(same_error, wrong),
    }
    ours = result["hysteresis"]["changes_per_1000"]
    for name in ("cutoff_same_share", "cutoff_same_error"):
        result[name]["times_ours"] = round(result[name]["changes_per_1000"] / ours, 1)
    return result


def hysteresis():
    worlds, widths = [], []
    for number, (spread, persistence, noise) in enumerate(WANDERING):
        drawn = simulate_conversations(
            CONVERSATIONS, ANSWERS, spread=spread, persistence=persistence, noise=noise, seed=number
        )
        seen = noise_of(drawn.confidence)
        found = {
            "spread": spread,
            "persistence": persistence,
            "noise": noise,
            "noise_of_confidence": round(seen, 3),
            **compare(drawn, 3 * seen),
        }
        worlds.append(found)
        print(found, flush=True)
        if not number:
            widths = [compare(drawn, width) for width in (0.25, 0.5, 0.75, 1.0, 1.25)]
            few = drawn.confidence[:20]
            bands = Bands(expit(logit(0.8) + 0.3), expit(logit(0.8) - 0.3))
            assert (accepted_by(Router(bands), few) == replay(bands, few)).all()
    size = {"conversations": CONVERSATIONS, "answers": ANSWERS}
    return {**size, "worlds": worlds, "widths": widths}


def oracle(segment, risk):
    """The lowest threshold whose true risk is at most the stated one."""
    if segment.selective_risk(0.0).risk <= risk:
        return 0.0
    highest = next(t for t in np.linspace(0, 1, 2001) if segment.selective_risk(t).risk <= risk)
    return brentq(lambda t: segment.selective_risk(t).risk - risk, 0.0, highest)


def informed(segment, risk, n):
    """Mean share accepted by a test of the one threshold that is best to test, known beforehand."""
    best = 0.0
    for threshold in np.linspace(oracle(segment, risk), 0.999, 200):
        true, share = segment.selective_risk(threshold)
        m = round(n * share)
        if m:
            most = np.arange(m + 1)[bdtr(np.arange(m + 1), m, risk) <= DELTA]
            power = bdtr(most[-1], m, true) if len(most) else 0.0
            best = max(best, share * power)
    return float(best)


def guarantee_in(segment, risk, n, unlabelled, seed):
    """Many data sets of one world: how often the truth is above the stated risk."""
    rng = np.random.default_rng(seed)
    best = segment.selective_risk(oracle(segment, risk)).share
    violated = refused = covered = 0
    shares, named = [], []
    for _ in range(SETS):
        confidence = rng.beta(*segment.shape, n)
        correct = rng.random(n) < segment.calibration(confidence)
        others = rng.beta(*segment.shape, unlabelled) if unlabelled else None
        found = guaranteed_threshold(confidence, correct, risk=risk, delta=DELTA, unlabelled=others)
        if not found.enough:
            refused += 1
            shares.append(0.0)
            named.append(found.labels_needed or np.inf)
            continue
        true, share = segment.selective_risk(found.threshold)
        violated += true > risk
        covered += found.share.low <= share <= found.share.high
        shares.append(share)
    return {
        "labels": n,
        "unlabelled": unlabelled,
        "violated": violated / SETS,
        "refused": refused / SETS,
        "oracle_share": round(best, 4),
        "share_of_oracle": round(float(np.mean(shares) / best), 3),
        "informed_share_of_oracle": round(informed(segment, risk, n) / best, 3),
        "share_interval_covers": round(covered / max(SETS - refused, 1), 3),
        "median_labels_named": float(np.median(named)) if len(named) > 20 else None,
    }


def guarantees():
    result = {}
    for name, (segment, risk) in WORLDS.items():
        result[name] = []
        for seed, (n, unlabelled) in enumerate(LABELS):
            found = guarantee_in(segment, risk, n, unlabelled, seed)
            result[name].append(found)
            print(name, found, flush=True)
    return {"delta": DELTA, "data_sets": SETS, "worlds": result}


def through_hysteresis(risk=0.15, n=2000, length=50, sets=300):
    """Does the risk hold for what a router accepts, and how much is that?

    Traffic are conversations of 50 answers; the label is that of a random answer of each of 2,000.
    The threshold is chosen on its confidence as it is, or on `held_confidence`.
    """
    law = {"spread": 0.7, "persistence": 0.99, "noise": 0.5}
    traffic = simulate_conversations(10_000, length, **law, seed=99)
    wrong = 1 - traffic.probability
    width = 3 * noise_of(traffic.confidence)
    best = traffic.confidence >= cut_with_error(traffic.confidence, wrong, risk)
    ways = {"as it is, hard cutoff": [], "as it is": [], "held_confidence": []}
    for seed in range(sets):
        drawn = simulate_conversations(n, length, **law, seed=1000 + seed)
        place = np.random.default_rng(seed).integers(length, size=n)
        seen = drawn.confidence[np.arange(n), place]
        correct = drawn.correct[np.arange(n), place]
        history = zip(drawn.confidence, place, strict=True)
        held = np.array([held_confidence(row[: at + 1], width)[-1] for row, at in history])
        for name, found in ways.items():
            used = held if name == "held_confidence" else seen
            one = guaranteed_threshold(used, correct, risk=risk, delta=DELTA)
            accepted = np.zeros(1, bool)
            if one.enough:
                bands = one.bands(width=0.0 if "cutoff" in name else width)
                accepted = replay(bands, traffic.confidence)
            true = float(wrong[accepted].mean()) if accepted.any() else 0.0
            found.append((true, accepted.mean(), one.enough))
    return {
        "risk": risk,
        "delta": DELTA,
        "data_sets": sets,
        "width": round(width, 3),
        "oracle_cutoff_share": round(float(best.mean()), 4),
        "ways": {name: summary(np.array(found), risk) for name, found in ways.items()},
    }


def summary(found, risk):
    enough = found[:, 2] > 0
    return {
        "refused": round(1 - float(enough.mean()), 3),
        "violated": round(float((found[:, 0] > risk).mean()), 3),
        "mean_risk": round(float(found[enough, 0].mean()), 4),
        "mean_share": round(float(found[:, 1].mean()), 4),
    }


def speed(n=1_000_000):
    """Decisions per second on one thread, and memory of a full router."""
    rng = np.random.default_rng(0)
    confidence, keys = rng.random(n).tolist(), [f"user {i}" for i in rng.integers(200_000, size=n)]
    router = Router(Bands.around(0.8, 0.3))
    start = time.perf_counter()
    for key, c in zip(keys, confidence, strict=True):
        router.decide(key, c)
    seconds = time.perf_counter() - start
    tracemalloc.start()
    full = Router(Bands.around(0.8, 0.3))
    for number in range(1_000_000):
        full.decide(f"user {number}", 0.9)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    kept = {"keys_kept": len(full), "keys_seen": 1_000_000, "mib_held": round(held / 2**20, 1)}
    return {"decisions": n, "decisions_per_second": round(n / seconds), **kept}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parts = {
        "hysteresis": hysteresis,
        "speed": speed,
        "through_hysteresis": through_hysteresis,
        "guarantee": guarantees,
    }
    parser.add_argument("--only", choices=parts, nargs="+", help="parts to run")
    chosen = parser.parse_args()
    result = json.loads(chosen.out.read_text()) if chosen.only and chosen.out.exists() else {}
    result |= {
        "command": "python benchmarks/routing.py",
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in ("thermometer", "numpy", "scipy")},
    }
    for name in chosen.only or parts:
        start = time.perf_counter()
        result[name] = parts[name]()
        result[name]["seconds"] = round(time.perf_counter() - start, 1)
        chosen.out.parent.mkdir(parents=True, exist_ok=True)
        chosen.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
