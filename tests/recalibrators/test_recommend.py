"""What is recommended in worlds where the truth is known, and how it is told."""

import json
import re

import numpy as np
import pytest

from thermometer import metrics, recalibrators
from thermometer.metrics.intervals import Interval
from thermometer.recalibrators.recommend import (
    Candidate,
    choose,
    deal_folds,
    labels_needed,
    recommend,
)
from thermometer.scaling import scale_scores

SEEDS = range(5)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def confidences(seed, n, truth):
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0.02, 0.98, size=n)
    return {"confidence": confidence, "correct": rng.random(n) < truth(confidence)}


def scored(seed, n, temperature):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(n, 4)) * 2 * temperature
    return {
        "scores": scores,
        "labels": (scores / temperature + rng.gumbel(size=scores.shape)).argmax(axis=1),
    }


def offset(confidence):
    return sigmoid(0.7 * np.log(confidence / (1 - confidence)) - 1)


def step(confidence):
    return np.where(confidence < 0.4, 0.3, np.where(confidence < 0.7, 0.35, 0.95))


def as_it_is(confidence):
    return confidence


def recommended(make, *arguments, **options):
    return [recommend(**make(seed, *arguments), n_resamples=300, **options) for seed in SEEDS]


@pytest.mark.parametrize(
    ("made", "best"),
    [
        ((scored, 800, 3.0), "temperature"),
        ((scored, 800, 0.5), "temperature"),
        ((confidences, 1500, offset), "platt"),
        ((confidences, 3000, step), "isotonic"),
        ((confidences, 5000, as_it_is), "none"),
        ((scored, 5000, 1.0), "none"),
    ],
)
def test_the_truth_is_found(made, best):
    found = recommended(*made)
    assert sum(one.best == best and one.enough for one in found) >= 4
    assert all(one.labels_needed is None for one in found if one.enough)


def test_habits_of_stated_confidence_are_found():
    rates = {0.5: 0.4, 0.7: 0.5, 0.8: 0.75, 0.9: 0.35, 0.95: 0.85, 1.0: 0.6}

    def stated(seed):
        rng = np.random.default_rng(seed)
        confidence = rng.choice(list(rates), size=1200)
        return {
            "confidence": confidence,
            "correct": rng.random(1200) < np.vectorize(rates.get)(confidence),
        }

    found = recommended(stated)
    assert sum(one.best == "stated" for one in found) >= 4
    assert "Answers stated at 0.9 are right less often (0.3" in found[0].reason


def test_thirty_rows_are_not_enough():
    found = recommended(confidences, 30, as_it_is) + recommended(scored, 30, 1.2)
    short = [one for one in found if not one.enough]
    assert len(short) >= 9
    for one in short:
        assert one.best == "none"
        assert one.labels_needed > 30
        assert one.reason.startswith("30 rows are too few to say")
        assert f"{one.labels_needed:,} labelled rows" in one.reason


def test_the_number_of_labels_that_is_named_is_of_the_right_size():
    """With four times the labels that it asks for, the choice is clear most of the time."""
    short = next(
        one
        for one in recommended(confidences, 60, lambda c: 0.15 + 0.6 * c)
        if not one.enough and one.candidates["platt"].versus_none.estimate < -0.01
    )
    n = min(4 * short.labels_needed, 5000)
    assert sum(one.enough for one in recommended(confidences, n, lambda c: 0.15 + 0.6 * c)) >= 4


def test_the_rule_holds_for_what_is_returned():
    for one in recommended(confidences, 400, offset) + recommended(scored, 200, 1.5):
        lowest = min(one.candidates.values(), key=lambda c: c.nll.estimate)
        assert lowest.versus_best.estimate == lowest.versus_best.high == 0
        names = list(one.candidates)
        assert names[0] == "none"
        for name in names[: names.index(one.best)]:
            candidate = one.candidates[name]
            assert candidate.versus_best.low > 0 or candidate.versus_none.high >= 0
        assert one.candidates[one.best].versus_best.low <= 0
        for candidate in one.candidates.values():
            nll = candidate.nll
            assert nll.low < nll.estimate < nll.high
            assert candidate.versus_none.estimate == pytest.approx(
                nll.estimate - one.candidates["none"].nll.estimate
            )


def candidate(versus_best, versus_none, gain=0.0):
    best, none = Interval(0.0, *versus_best), Interval(-gain, *versus_none)
    return Candidate(Interval(0.5, 0.4, 0.6), best, none, 0.7, None)


def test_what_is_not_clearly_better_than_none_is_not_preferred_for_being_simple():
    found = {
        "none": candidate((0.01, 0.09), (0, 0)),
        "platt": candidate((-0.01, 0.06), (-0.04, 0.001)),
        "isotonic": candidate((-0.01, 0.05), (-0.06, -0.001)),
        "histogram": candidate((0, 0), (-0.09, -0.01)),
    }
    assert choose(found) == "isotonic"
    found["none"] = candidate((0, 0.09), (0, 0))
    assert choose(found) == "none"


def test_labels_needed_follow_the_half_width_and_the_gain():
    found = {
        "none": candidate((0, 0), (0, 0)),
        "platt": candidate((0, 0), (-0.07, 0.03), gain=0.03),
        "isotonic": candidate((0, 0), (-0.005, 0.2), gain=0.05),  # could not be worth it
    }
    assert labels_needed(found, 100, worth=0.01) == 280  # 100 (0.05 / 0.03)^2 = 277.8
    assert labels_needed(found, 100, worth=0.05) == 110  # 100 would do, but did not


def test_losses_are_those_of_rows_that_were_not_fitted():
    made = confidences(0, 200, offset)
    correct = made["correct"].astype(float)
    folds = deal_folds(correct, 4, seed=3)
    held_out = np.empty(200)
    for fold in range(4):
        platt = recalibrators.PlattScaling().fit(
            made["confidence"][folds != fold], correct[folds != fold]
        )
        held_out[folds == fold] = platt.recalibrate(made["confidence"][folds == fold])
    probs = np.column_stack([1 - held_out, held_out])
    found = recommend(**made, n_folds=4, seed=3).candidates["platt"]
    assert found.nll.estimate == pytest.approx(metrics.nll(probs, correct.astype(int)))
    assert found.auroc == pytest.approx(metrics.auroc(held_out, correct))


def test_applying_it():
    made, new = confidences(1, 1500, offset), np.array([0.2, 0.9])
    one = recommend(**made, n_resamples=100)
    platt = recalibrators.PlattScaling().fit(made["confidence"], made["correct"])
    np.testing.assert_array_equal(one.apply(confidence=new), platt.recalibrate(new))
    with pytest.raises(ValueError, match="`confidence` to be given, and nothing else"):
        one.apply(scores=[[1, 0]])
    kept = recommend(**confidences(1, 1500, as_it_is), n_resamples=100)
    assert kept.estimator is None
    np.testing.assert_array_equal(kept.apply(confidence=new), new)
    warm = recommend(**scored(1, 800, 3.0), n_resamples=100)
    scores = np.array([[3.0, 0, -1, -np.inf]])
    expected = scale_scores(scores, warm.estimator.temperature_)
    np.testing.assert_array_equal(warm.apply(scores=scores), expected)
    plain = recommend(**scored(1, 3000, 1.0), n_resamples=100)
    np.testing.assert_array_equal(plain.apply(scores=scores), scale_scores(scores, 1.0))
    with pytest.raises(ValueError, match="`scores` to be given, and nothing else"):
        plain.apply(scores=scores, confidence=new)


def test_recalibrated_answers_of_scores_share_the_rest():
    """Top probabilities that mean something else than any temperature could make of them."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(4000, 2)) * 2
    probs = scale_scores(scores, 1.0)
    right = rng.random(4000) < np.where(probs.max(axis=1) > 0.8, 0.95, 0.3)
    labels = np.where(right, scores.argmax(axis=1), scores.argmin(axis=1))
    one = recommend(scores=scores, labels=labels, n_resamples=200)
    assert one.best == "isotonic"
    new = one.apply(scores=scores)
    np.testing.assert_allclose(new.sum(axis=1), 1)
    confidence = new[np.arange(4000), scores.argmax(axis=1)]
    assert metrics.expected_calibration_error(confidence, right) < 0.03


def test_groups_are_folded_and_drawn_whole():
    """Each group has a rate of its own: rows of one group tell little about another."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(12), 100)
    confidence = rng.uniform(0.3, 0.9, size=1200)
    correct = rng.random(1200) < np.clip(confidence + rng.normal(size=12).repeat(100) * 0.2, 0, 1)
    rows = recommend(confidence=confidence, correct=correct, n_resamples=300)
    whole = recommend(confidence=confidence, correct=correct, groups=groups, n_resamples=300)

    def width(one):
        interval = one.candidates["none"].nll
        return interval.high - interval.low

    assert width(whole) > 1.5 * width(rows)
    assert whole.candidates["platt"].nll.estimate > rows.candidates["platt"].nll.estimate
    folds = deal_folds(correct.astype(float), 5, seed=0, groups=groups)
    assert all(len(np.unique(folds[groups == g])) == 1 for g in range(12))
    with pytest.raises(ValueError, match="`n_folds` to be at most 2, the number of groups"):
        recommend(confidence=confidence, correct=correct, groups=groups > 5)
    with pytest.raises(ValueError, match="`groups` to be a vector of length 1200"):
        recommend(confidence=confidence, correct=correct, groups=[1, 2])


def test_folds_hold_equally_many_of_each_outcome():
    outcome = np.array([1.0] * 13 + [0.0] * 90)
    folds = deal_folds(outcome, 5, seed=1)
    assert sorted(np.bincount(folds)) == [20, 20, 21, 21, 21]
    assert set(np.bincount(folds[outcome == 1], minlength=5)) <= {2, 3}
    assert (folds != deal_folds(outcome, 5, seed=2)).any()
    assert (folds == deal_folds(outcome, 5, seed=1)).all()


def test_certainty_that_is_wrong_costs_a_finite_amount_and_one_outcome_is_no_error():
    sure = recommend(confidence=[1.0] * 40, correct=[1] * 39 + [0], n_resamples=50)
    assert sure.candidates["none"].nll.estimate == pytest.approx(-np.log(1e-6) / 40)
    right = recommend(confidence=np.linspace(0.5, 1, 40), correct=np.ones(40), n_resamples=50)
    assert np.isnan(right.candidates["none"].auroc)
    assert right.to_dict()["candidates"]["none"]["auroc"] is None


def test_it_reads_well_and_goes_into_json():
    one = recommend(**confidences(1, 1500, offset), n_resamples=200)
    text = str(one)
    assert max(map(len, text.splitlines())) <= 80
    for name, found in one.candidates.items():
        assert re.search(rf"\n{name} +{found.nll.estimate:.3f} ", text)
    assert re.search(r"\nplatt .*\nrecommended ", text)
    assert text.count("recommended") == 1
    assert " ".join(text.split()).endswith(one.reason)
    assert one.reason.startswith("Platt scaling lowers the NLL of rows that it was not fitted on")
    content = json.loads(json.dumps(one.to_dict(), allow_nan=False))
    assert content["best"] == "platt"
    assert content["candidates"]["platt"]["nll"]["estimate"] == one.candidates["platt"].nll.estimate
    again = recommend(**confidences(1, 1500, offset), n_resamples=200)
    assert again.to_dict() == one.to_dict()
    assert recommend(**confidences(1, 1500, offset), n_resamples=200, seed=1).best == "platt"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "`confidence` to be given with `correct`, or else `scores` with `labels`"),
        ({"confidence": [0.5], "labels": [1]}, "given with `correct`"),
        ({"confidence": [0.5], "correct": [1], "scores": [[1, 0]]}, "given with `correct`"),
        ({"confidence": [0.5], "correct": [1]}, "`n_folds` to be at most 1, the number of rows"),
        ({"confidence": [1.5], "correct": [1]}, r"`confidence` to be in \[0, 1\]"),
        ({"scores": [[1, 0]], "labels": [2]}, r"`labels` to be in \[0, 2\), but got 2 at row 0"),
        ({"confidence": [0.5], "correct": [1], "n_folds": 1}, "`n_folds` to be an integer"),
        ({"confidence": [0.5], "correct": [1], "coverage": 1.0}, "`coverage` to be a number in"),
        ({"confidence": [0.5], "correct": [1], "worth": 0.0}, "`worth` to be a number in"),
    ],
)
def test_malformed_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        recommend(**arguments)
