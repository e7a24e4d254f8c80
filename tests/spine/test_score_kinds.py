"""Scores of another kind are named and refused, in whatever precision and by every way in."""

import json

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax

import thermometer as th
from thermometer.adaptation import TemperatureStream
from thermometer.adapters.files import load_table, read_answers
from thermometer.adapters.tables import write_table
from thermometer.checkpoint import TrainingRecord
from thermometer.recalibrators.recommend import recommend
from thermometer.tables import OutputTable

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 3, (40, 4))
PROBS = softmax(LOGITS, axis=1)
LABELS = RNG.integers(0, 4, 40)
IDS = [f"q{i}" for i in range(40)]

OTHER = {
    "exact": (PROBS, "probabilities: rows sum to 1"),
    "half": (PROBS.astype(np.float16), "probabilities: rows sum to 1"),
    "two digits": (PROBS.round(2), "probabilities: rows sum to 1"),
    "truncated": (np.floor(PROBS * 1000) / 1000, "probabilities: rows sum to 1"),
    "one row cut": (PROBS * np.where(np.arange(40) == 7, 0.8, 1)[:, None], "probabilities"),
    "two rows": (PROBS[:2].astype(np.float16), "probabilities: rows sum to 1"),
    "short rows": (
        np.c_[softmax(LOGITS[:, :3], axis=1), np.full(40, -np.inf)],
        "probabilities: rows sum to 1",
    ),
    "percent": ((100 * PROBS).round(1), "probabilities: rows sum to 100"),
    "base 2": (np.log2(PROBS), "logarithms to base 2"),
    "base 2, half": (np.log2(PROBS).astype(np.float16), "logarithms to base 2"),
    "base 10": (np.log10(PROBS).round(3), "logarithms to base 10"),
    "negated": (-np.log(PROBS), "negated log-probabilities"),
}
RIGHT = {
    "logits": LOGITS,
    "log-probabilities": log_softmax(LOGITS, axis=1),
    "rounded": log_softmax(LOGITS, axis=1).round(2),
    "part of the vocabulary": log_softmax(LOGITS, axis=1) + np.log(RNG.uniform(0.6, 1, (40, 1))),
    "a constant part": log_softmax(LOGITS, axis=1) + np.log(0.93),
    "sure": log_softmax(LOGITS * 9, axis=1) + np.log(0.998),
    "below the maximum": LOGITS - LOGITS.max(axis=1, keepdims=True),
    "similarities": RNG.uniform(0, 1, (40, 4)),
    "two similarities": RNG.uniform(0, 1, (40, 2)),
    "indicators": np.eye(4)[LABELS],
    "ties": np.full((40, 4), 0.25),
    "one row like probabilities": np.r_[PROBS[:1], LOGITS[1:]],
}


@pytest.mark.parametrize("name", OTHER)
def test_scores_of_another_kind_are_named(name):
    scores, said = OTHER[name]
    with pytest.raises(ValueError, match=f"`scores` to be unnormalised.*{said}"):
        th.scale_scores(scores, 1.0)


@pytest.mark.parametrize("name", RIGHT)
def test_scores_of_the_right_kind_are_taken(name):
    assert np.isfinite(th.scale_scores(RIGHT[name], 2.0)).all()


def test_raw_scores_are_not_taken_for_probabilities_by_chance():
    """Of 4,000 small tables of raw scores in [0, 1] or below 0, at most two are refused."""
    rng = np.random.default_rng(1)
    refused = 0
    for number in range(4000):
        shape = (rng.integers(2, 7), rng.integers(2, 5))
        probs = log_softmax(rng.normal(0, 2, shape), axis=1)
        partial = probs + np.log(rng.uniform(0.5, 1, (shape[0], 1)))
        try:
            th.scale_scores(partial if number % 2 else rng.uniform(0, 1, shape), 1.0)
        except ValueError:
            refused += 1
    assert refused <= 2


def calibrator():
    torch.manual_seed(0)
    network = th.Thermometer(th.ThermometerConfig.scores_only())
    return th.Calibrator(network, TrainingRecord(["law"], 1.0, spread=0.3))


def batch(scores):
    return {
        "id": IDS,
        "task": ["t"] * 40,
        "question": [f"{i}?" for i in IDS],
        "choices": [list("abcd")] * 40,
        "scores": scores,
    }


def of_file(folder, scores):
    rows = zip(IDS, LABELS.tolist(), scores.tolist(), strict=True)
    lines = [json.dumps({"id": i, "task": "t", "label": y, "scores": s}) for i, y, s in rows]
    (folder / "s.jsonl").write_text("\n".join(lines))
    return folder / "s.jsonl"


WAYS = {
    "fit_temperature": lambda s, _: th.fit_temperature(s, LABELS),
    "recommend": lambda s, _: recommend(scores=s, labels=LABELS, n_resamples=3),
    "from_arrays": lambda s, _: OutputTable.from_arrays(IDS, ["t"] * 40, LABELS, s),
    "with_reference": lambda s, _: OutputTable.from_arrays(
        IDS, ["t"] * 40, LABELS, LOGITS
    ).with_reference(OutputTable.from_arrays(IDS, ["t"] * 40, LABELS, s)),
    "load_table": lambda s, folder: load_table(of_file(folder, s)),
    "read_answers": lambda s, folder: read_answers(
        of_file(folder, s), scores=["scores"], label="label"
    ),
    "write_table": lambda s, folder: write_table(
        [batch(s)], folder / "t", provenance={"scores": {"model": "m"}}
    ),
    "calibrate": lambda s, _: calibrator().calibrate(scores=s),
}


@pytest.mark.parametrize("kind", ["half", "two digits", "base 2"])
@pytest.mark.parametrize("way", WAYS)
def test_every_way_in_refuses_them(tmp_path, way, kind):
    with pytest.raises(ValueError, match="`scores` to be unnormalised"):
        WAYS[way](np.asarray(OTHER[kind][0], np.float64), tmp_path)


def test_one_task_of_another_kind_is_named():
    scores = np.r_[PROBS[:20].round(2), log_softmax(LOGITS[20:], axis=1)]
    with pytest.raises(ValueError, match=r"`scores` .*probabilities.* \(task law\)"):
        OutputTable.from_arrays(IDS, ["law"] * 20 + ["art"] * 20, LABELS, scores)
    part = OutputTable.from_arrays(IDS, ["law"] * 20 + ["art"] * 20, LABELS, LOGITS)
    assert len(part.of_tasks(["art"])) == 20


def test_a_stream_refuses_probabilities_from_the_second_prompt_on():
    stream = TemperatureStream(calibrator(), window=5)
    stream.push(PROBS[:1])
    with pytest.raises(ValueError, match="`scores` to be unnormalised"):
        stream.push(PROBS[1:2])
