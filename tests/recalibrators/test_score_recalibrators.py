"""Recalibrators of option scores, and the functions between probabilities and scores."""

import numpy as np
import pytest
import reference_baselines as reference
import sklearn.calibration
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from thermometer import metrics, recalibrators
from thermometer.scaling import MAX_TEMPERATURE, MIN_TEMPERATURE, scale_scores

KINDS = (recalibrators.TemperatureScaling, recalibrators.BatchCalibration)
matrices = (
    st.tuples(st.integers(2, 12), st.integers(2, 5))
    .flatmap(lambda shape: arrays(np.float64, shape, elements=st.floats(-50, 50)))
    .filter(lambda rows: np.abs(rows.sum(axis=1) - 1).max() > 1e-3)  # else refused as probabilities
)


def sample(temperature=2.0, n=600, n_options=4, seed=0, bias=None):
    """Scores whose labels are drawn from softmax((scores - bias) / temperature)."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(n, n_options)) * 2 * temperature
    labels = (scores / temperature + rng.gumbel(size=scores.shape)).argmax(axis=1)
    return scores + (0 if bias is None else np.asarray(bias)), labels


@given(matrices, st.data())
@settings(deadline=None)
def test_temperature_scaling_keeps_the_answers_and_is_that_of_scaling(scores, data):
    scores[0, :2] = [1, 0]  # not all options equal
    label = st.integers(0, scores.shape[1] - 1)
    labels = np.array(data.draw(st.lists(label, min_size=len(scores), max_size=len(scores))))
    scaling = recalibrators.TemperatureScaling().fit(scores, labels)
    probs = scaling.predict_proba(scores)
    answer = scores.argmax(axis=1)
    np.testing.assert_array_equal(probs[np.arange(len(scores)), answer], probs.max(axis=1))
    np.testing.assert_array_equal(probs, scale_scores(scores, scaling.temperature_))
    bounds = MIN_TEMPERATURE * (1 - 1e-9), MAX_TEMPERATURE * (1 + 1e-9)
    assert bounds[0] <= scaling.temperature_ <= bounds[1]
    assert bool(scaling.notes_) == scaling.at_bound_


@pytest.mark.skipif(
    not hasattr(sklearn.calibration, "_TemperatureScaling"), reason="came with scikit-learn 1.8"
)
def test_temperature_scaling_equals_scikit_learns():
    scores, labels = sample(3.0)
    ours = recalibrators.TemperatureScaling().fit(scores, labels).predict_proba(scores)
    theirs = sklearn.calibration._TemperatureScaling().fit(scores, labels).predict(scores)
    np.testing.assert_allclose(ours, theirs, atol=1e-3)
    assert metrics.nll(ours, labels) <= metrics.nll(theirs, labels) + 1e-12


def test_one_temperature_per_task_and_the_pooled_one_for_others():
    cold, warm = sample(1.0, seed=1), sample(5.0, seed=2)
    scores = np.concatenate([cold[0], warm[0]])
    labels = np.concatenate([cold[1], warm[1]])
    tasks = ["cold"] * 600 + ["warm"] * 600
    scaling = recalibrators.TemperatureScaling(per_task=True).fit(scores, labels, tasks)
    assert scaling.tasks_ == ("cold", "warm")
    np.testing.assert_allclose(scaling.task_temperature_, [1, 5], rtol=0.15)
    alone = recalibrators.TemperatureScaling().fit(*warm)
    np.testing.assert_array_equal(
        scaling.predict_proba(warm[0], ["warm"] * 600), alone.predict_proba(warm[0])
    )
    pooled = recalibrators.TemperatureScaling().fit(scores, labels)
    assert scaling.temperature_ == pooled.temperature_
    np.testing.assert_array_equal(
        scaling.predict_proba(cold[0][:5], ["new"] * 5), pooled.predict_proba(cold[0][:5])
    )
    with pytest.raises(ValueError, match="`tasks` to be given, as `per_task` needs them"):
        scaling.predict_proba(scores)
    with pytest.raises(ValueError, match="`tasks` to be a vector of length 1200"):
        scaling.fit(scores, labels, ["cold"])
    scores[:600] = 0
    with pytest.raises(ValueError, match="but got equal ones in every row of task 'cold'"):
        scaling.fit(scores, labels, tasks)


def test_tasks_at_a_bound_are_named():
    scaling = recalibrators.TemperatureScaling(per_task=True)
    scaling.fit([[1.0, 0.0]] * 4, [0, 0, 0, 1], ["right", "right", "mixed", "mixed"])
    assert scaling.tasks_at_bound_ == ("mixed", "right")  # half right: infinitely warm
    assert scaling.notes_ == ("at a bound of the search: mixed, right",)
    assert (
        "is a bound of the search"
        in recalibrators.TemperatureScaling().fit([[1, 0]], [0]).notes_[0]
    )


@given(matrices, matrices)
@settings(deadline=None)
def test_dividing_by_the_mean_equals_the_loop(scores, fitted):
    width = min(scores.shape[1], fitted.shape[1])
    scores, fitted = scores[:, :width], fitted[:, :width]
    expected = reference.divide_by_mean(scores.tolist(), fitted.tolist())
    probs = recalibrators.BatchCalibration().fit(fitted).predict_proba(scores)
    np.testing.assert_allclose(probs, expected, rtol=1e-9, atol=1e-300)


def test_what_is_computed_from_scores_is_not_refused_as_if_it_were_given():
    """The content of scores is judged where a user gives them, not on the way."""
    scores = [[1.0, 0.0], *[[0.0, 0.0]] * 9]  # with the prior taken off they sum to one as 2**-s
    probs = recalibrators.BatchCalibration().fit([[0.0, 0.0]] * 2).predict_proba(scores)
    np.testing.assert_allclose(probs, scale_scores(scores, 1.0))
    one_row = recalibrators.TemperatureScaling().fit([[0.7, 0.3]], [0])  # a row may be anything
    np.testing.assert_allclose(one_row.predict_proba([[0.7, 0.3]]), [[2 / 3, 1 / 3]])


def test_batch_calibration_undoes_a_preference_for_a_position():
    scores, labels = sample(1.0, n=4000, bias=[3.0, 0, 0, 0])
    before = metrics.accuracy(scale_scores(scores, 1.0), labels)
    without = metrics.accuracy(scale_scores(sample(1.0, n=4000)[0], 1.0), labels)
    probs = recalibrators.BatchCalibration().fit(scores).predict_proba(scores)
    gained = metrics.accuracy(probs, labels) - before  # the answers do change
    assert gained > 0.7 * (without - before) > 0.1
    few = recalibrators.BatchCalibration().fit(scores[:20]).predict_proba(scores)
    assert metrics.accuracy(few, labels) > before + 0.05


def test_one_row_calibrates_itself_to_uniform():
    row = [[5.0, -700.0, 0.0]]  # a probability that float64 has just so
    np.testing.assert_allclose(recalibrators.BatchCalibration().fit(row).predict_proba(row), 1 / 3)


def test_rows_of_different_lengths_have_means_of_their_own():
    three, two = sample(n=50, n_options=3, seed=1)[0], sample(n=40, n_options=2, seed=2)[0]
    padded = np.column_stack([two, np.full(40, -np.inf)])
    mixed = np.concatenate([three, padded])
    calibration = recalibrators.BatchCalibration().fit(mixed)
    probs = calibration.predict_proba(mixed)
    np.testing.assert_allclose(probs[:50], reference.divide_by_mean(three, three))
    np.testing.assert_allclose(probs[50:, :2], reference.divide_by_mean(two, two))
    assert (probs[50:, 2] == 0).all()
    assert calibration.n_options_.tolist() == [2, 3]
    mean = scale_scores(two, 1.0).mean(axis=0)
    np.testing.assert_allclose(np.exp(calibration.log_prior_[0, :2]), mean)
    with pytest.raises(ValueError, match="`scores` to be rows of 3 options, but got 2 at row 1"):
        recalibrators.BatchCalibration().fit(three).predict_proba([[1, 2, 3], [1, 2, -np.inf]])


def test_one_mean_per_task_and_the_pooled_one_for_others():
    one, other = sample(seed=1, bias=[2, 0, 0, 0])[0], sample(seed=2, bias=[0, 2, 0, 0])[0]
    both, tasks = np.concatenate([one, other]), ["one"] * 600 + ["other"] * 600
    per_task = recalibrators.BatchCalibration(per_task=True).fit(both, tasks=tasks)
    alone = recalibrators.BatchCalibration().fit(other)
    np.testing.assert_array_equal(
        per_task.predict_proba(other, tasks=tasks[600:]), alone.predict_proba(other)
    )
    pooled = recalibrators.BatchCalibration().fit(both)
    np.testing.assert_array_equal(
        per_task.predict_proba(other[:3], tasks=["new"] * 3), pooled.predict_proba(other[:3])
    )


@pytest.mark.parametrize("kind", KINDS)
def test_protocol_and_malformed_arguments(kind):
    scores, labels = sample(n=30)
    made = kind()
    assert made.reads == "scores"
    assert repr(clone(kind(per_task=True))) == f"{kind.__name__}(per_task=True)"
    with pytest.raises(NotFittedError):
        made.predict_proba(scores)
    assert made.fit(scores, labels) is made
    order = np.random.default_rng(0).permutation(30)
    again = kind().fit(scores[order], labels[order])
    np.testing.assert_allclose(again.predict_proba(scores), made.predict_proba(scores), rtol=1e-9)
    with pytest.raises(ValueError, match="at least one row"):
        kind().fit(np.empty((0, 3)), np.empty(0, int))
    with pytest.raises(ValueError, match="`scores` to be finite, but got nan at row 0, option 1"):
        kind().fit([[0, np.nan]], [0])
    with pytest.raises(TypeError, match="`per_task` to be a boolean, but got 'yes'"):
        kind(per_task="yes").fit(scores, labels)
    with pytest.raises(ValueError, match="`tasks` to be given"):
        kind(per_task=True).fit(scores, labels)


def test_temperature_scaling_asks_for_labels():
    with pytest.raises(ValueError, match="`labels` to be given, as this method needs them"):
        recalibrators.TemperatureScaling().fit([[1, 0]])


def test_inverted_probabilities_fit_and_scale_like_the_lost_scores():
    scores, labels = sample(2.5)
    probs = scale_scores(scores, 1.0)
    inverted = recalibrators.invert_softmax(probs, floor=1e-300)
    assert inverted.n_floored == 0
    ours = recalibrators.TemperatureScaling().fit(inverted.scores, labels)
    theirs = recalibrators.TemperatureScaling().fit(scores, labels)
    assert ours.temperature_ == pytest.approx(theirs.temperature_, rel=1e-8)
    np.testing.assert_allclose(
        ours.predict_proba(inverted.scores), theirs.predict_proba(scores), rtol=1e-7
    )


def test_the_floor_is_counted_and_matters():
    probs, labels = [[1.0, 0.0], [1.0, 0.0], [0.6, 0.4], [1.0, 0.0]], [0, 0, 0, 1]
    temperatures = {}
    for floor in (1e-2, 1e-6):
        inverted = recalibrators.invert_softmax(probs, floor)
        assert inverted.n_floored == 3
        scaling = recalibrators.TemperatureScaling().fit(inverted.scores, labels)
        temperatures[floor] = scaling.temperature_
    assert temperatures[1e-6] > 2 * temperatures[1e-2]
    short = recalibrators.invert_softmax([[0.5, 0.5, 0.0], [0.2, 0.8, 0.0]], 0.01, n_options=[2, 3])
    assert short.n_floored == 1
    assert short.scores[0, 2] == -np.inf
    assert short.scores[1, 2] == np.log(0.01)


@given(matrices, st.data())
@settings(deadline=None)
def test_new_confidences_share_the_rest_in_proportion(scores, data):
    probs = scale_scores(scores, 1.0)
    n = len(probs)
    confidence = np.array(data.draw(st.lists(st.floats(0, 1), min_size=n, max_size=n)))
    new = recalibrators.with_confidence(probs, confidence)
    each, answer = np.arange(n), probs.argmax(axis=1)
    np.testing.assert_array_equal(new[each, answer], confidence)
    np.testing.assert_allclose(new.sum(axis=1), 1)
    for old, row, a in zip(probs, new, answer, strict=True):
        rest = np.delete(old, a), np.delete(row, a)
        if rest[0].sum() > 1e-300:
            np.testing.assert_allclose(rest[1] * rest[0].sum(), rest[0] * rest[1].sum(), atol=1e-12)


def test_a_certain_answer_leaves_the_rest_equally_to_the_options_there_are():
    probs = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    new = recalibrators.with_confidence(probs, [0.6, 0.6])
    assert new.tolist() == [[0.6, 0.2, 0.2], [0.2, 0.6, 0.2]]
    new = recalibrators.with_confidence(probs, [0.6, 0.6], n_options=[3, 2])
    assert new.tolist() == [[0.6, 0.2, 0.2], [0.4, 0.6, 0.0]]


def test_a_rest_that_is_next_to_nothing_is_shared_all_the_same():
    new = recalibrators.with_confidence([[1.0, 5e-324, 0.0], [1.0, 2e-310, 2e-310]], [0.6, 0.6])
    np.testing.assert_allclose(new, [[0.6, 0.4, 0.0], [0.6, 0.2, 0.2]])


def test_malformed_probabilities_are_named():
    with pytest.raises(ValueError, match="rows that sum to one"):
        recalibrators.invert_softmax([[0.5, 0.2]], 0.01)
    with pytest.raises(ValueError, match=r"`floor` to be a number in \(0, 1\]"):
        recalibrators.invert_softmax([[0.5, 0.5]], 0)
    with pytest.raises(ValueError, match=r"integers in \[2, 2\], but got 3.0 at row 0"):
        recalibrators.invert_softmax([[0.5, 0.5]], 0.1, n_options=[3])
    with pytest.raises(ValueError, match="0 beyond the options, but got more at row 1"):
        recalibrators.with_confidence(
            [[0.5, 0.5, 0], [0.4, 0.3, 0.3]], [0.5, 0.5], n_options=[2, 2]
        )
    with pytest.raises(ValueError, match="`confidence` to be a vector of length 1"):
        recalibrators.with_confidence([[0.5, 0.5]], [0.5, 0.5])
