"""Verdicts of a model that says Yes to everything: shifted, carried along, used once."""

import free_forms
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from thermometer.calibrated_lm import CalibratedLM
from thermometer.calibrator import Calibrator
from thermometer.free_form import add_shift, shift_verdicts, verify
from thermometer.recalibrators.confidence import soft_targets
from thermometer.scaling import VERDICT_SHIFT, fit_temperature, scale_scores, shifted
from thermometer.tables import OutputTable


def table_of(odds, right, made=None):
    n = len(odds)
    scores = np.stack([odds, np.zeros(n)], axis=1) - 3.0
    labels = np.where(right, 0, 1)
    made = {"scores": {"model": "m"} if made is None else made}
    return OutputTable.from_arrays(
        [f"q{i}" for i in range(n)], ["t"] * n, labels, scores, provenance=made
    )


def drawn(shift, temperature, n=4000, seed=0):
    """A model that is overconfident of Yes by a known shift and temperature."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(3, 2, n)
    return table_of(odds, rng.random(n) < expit((odds + shift) / temperature))


def test_shift_and_temperature_are_recovered():
    table = shift_verdicts(drawn(-4.0, 2.5))
    assert table.provenance["scores"][VERDICT_SHIFT] == pytest.approx(-4.0, abs=0.3)
    fit = fit_temperature(table.scores, table.labels)
    assert fit.temperature == pytest.approx(2.5, abs=0.25)
    yes = scale_scores(table.scores, fit.temperature)[:, 0]
    assert yes.mean() == pytest.approx((table.labels == 0).mean(), abs=0.002)


@pytest.mark.parametrize("sign", [1, 0, -1])
def test_it_is_the_maximum_of_the_likelihood(sign):
    """Also where verdicts say nothing or the contrary, and the slope is held at its least."""
    rng = np.random.default_rng(1)
    odds = rng.normal(2, 1, 500)
    right = rng.random(500) < expit(sign * (odds - 2) - 1.5)
    target = soft_targets(right.astype(float))

    def loss(line):
        z = line[0] * odds + line[1]
        return -(target * log_expit(z) + (1 - target) * log_expit(-z)).mean()

    found = minimize(loss, [1.0, 0.0], bounds=[(0.05, None), (None, None)], tol=1e-12).x
    made = shift_verdicts(table_of(odds, right))
    assert made.provenance["scores"][VERDICT_SHIFT] == pytest.approx(found[1] / found[0], rel=1e-2)
    assert (found[0] == 0.05) == (sign < 1)


@pytest.mark.parametrize("right", [np.ones(20, bool), np.zeros(20, bool)])
def test_verdicts_on_answers_all_right_or_all_wrong_stay_finite(right):
    odds = np.random.default_rng(0).normal(size=20)
    shift = shift_verdicts(table_of(odds, right)).provenance["scores"][VERDICT_SHIFT]
    assert np.isfinite(shift)
    assert (shift > 0) == right[0]
    assert np.isfinite(shift_verdicts(table_of(np.ones(20), right)).scores).all()


def test_only_yes_is_shifted_and_it_is_noted():
    before = drawn(0.0, 1.0, 50)
    table = add_shift(before, -1.5)
    np.testing.assert_array_equal(table.scores[:, 1], before.scores[:, 1])
    np.testing.assert_allclose(table.scores[:, 0], before.scores[:, 0] - 1.5)
    assert table.provenance["scores"] == {"model": "m", VERDICT_SHIFT: -1.5}
    assert before.provenance["scores"] == {"model": "m"}
    raw = np.array([[1.0, 2.0]])
    assert shifted(raw, 1.0).tolist() == [[2.0, 2.0]]
    assert raw.tolist() == [[1.0, 2.0]]


def test_what_cannot_be_shifted_is_refused():
    table = drawn(0.0, 1.0, 50)
    for move in (shift_verdicts, lambda t: add_shift(t, 1.0)):
        with pytest.raises(
            ValueError, match="scores as the model gave them, but got verdict_shift"
        ):
            move(add_shift(table, -1.5))
    three = OutputTable.from_arrays(["a"], ["t"], [0], [[1.0, 2.0, 3.0]])
    with pytest.raises(ValueError, match=r"two options, Yes and No, but got shape \(1, 3\)"):
        shift_verdicts(three)
    unlabelled = OutputTable.from_arrays(["a"], ["t"], None, [[1.0, 2.0]])
    with pytest.raises(ValueError, match="labelled in every row"):
        shift_verdicts(unlabelled)


def test_a_checkpoint_carries_the_shift_to_new_answers(lm, tmp_path):
    task = free_forms.task(4)
    texts, given = [q.text for q in task.questions], ["Rome", "Paris", "one", "two"]
    before = verify(CalibratedLM(lm, free_forms.calibrator_of(lm)), texts, given)
    made = free_forms.calibrator_of(lm, **{VERDICT_SHIFT: -2.0})
    made.save_pretrained(tmp_path / "checkpoint")
    loaded = Calibrator.from_pretrained(tmp_path / "checkpoint", language_model=lm)
    after = verify(CalibratedLM(lm, loaded), texts, given)
    for old, new in zip(before, after, strict=True):
        assert new.temperature == pytest.approx(old.temperature)
        odds = np.log(old.confidence / old.probs["No"]) - 2.0 / old.temperature
        assert new.confidence == pytest.approx(expit(odds), rel=1e-4)
