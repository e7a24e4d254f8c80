"""The ensemble of signals: recovery of known posteriors, missing signals, files, bad input."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file
from scipy.optimize import minimize
from scipy.special import expit, ndtri
from scipy.stats import rankdata
from sklearn.exceptions import NotFittedError

from thermometer import metrics
from thermometer.signals.ensemble import NormalScores, SignalEnsemble, bent

CONFIG, ARRAYS = "recalibrator.json", "recalibrator.safetensors"
NAN = float("nan")
RNG = np.random.default_rng(0)


def world(n=6000, seed=0):
    """Two signals, each the log-odds of an independent piece of evidence, and the posterior."""
    rng = np.random.default_rng(seed)
    correct = rng.random(n) < 0.5
    evidence = rng.normal(np.where(correct, 0.5, -0.5)[:, None], 1.0, (n, 2))  # log-odds: itself
    signals = {"stated": expit(evidence[:, 0]), "agreement": evidence[:, 1]}
    return signals, correct.astype(float), expit(evidence.sum(axis=1))


SIGNALS, CORRECT, POSTERIOR = world()
FITTED = SignalEnsemble(penalty=3.0).fit(SIGNALS, CORRECT)


def hidden(signals, **where):
    """Copies of signals with NaN at some rows."""
    changed = {name: np.array(values, float) for name, values in signals.items()}
    for name, rows in where.items():
        changed[name][rows] = NAN
    return changed


def test_the_weights_are_where_the_penalised_likelihood_is_largest():
    """By a general optimiser, of one signal with one bend and an intercept."""
    rng = np.random.default_rng(1)
    signal = rng.normal(size=400)
    signal[:60] = NAN
    correct = (rng.random(400) < expit(np.nan_to_num(signal, nan=-1.0))).astype(float)
    z = NormalScores.fit(signal[:, None]).transform(signal[:, None])[:, 0]
    columns = np.column_stack([z, np.maximum(z, 0)])
    standard = (columns - columns.mean(axis=0)) / columns.std(axis=0)
    design = np.column_stack([np.ones(400), standard, np.isnan(signal)])

    def loss(weights):
        line = design @ weights
        likelihood = correct * np.log(expit(line)) + (1 - correct) * np.log(expit(-line))
        return -likelihood.sum() + (weights**2) @ [0, 5.0, 5.0, 1.0] / 2

    best = minimize(loss, np.zeros(4), options={"gtol": 1e-9}).x
    fitted = SignalEnsemble(n_knots=1, penalty=5.0).fit({"a": signal}, correct)
    np.testing.assert_allclose(fitted.predict({"a": signal}), expit(design @ best), atol=1e-6)
    assert fitted.weights.silence["a"] == pytest.approx(best[3], abs=1e-5)


@given(st.lists(st.sampled_from([0.0, 0.1, 0.5, 0.8, 0.9, 1.0]), min_size=1, max_size=60))
@settings(deadline=None, max_examples=50)
def test_a_normal_score_is_that_of_the_middle_rank(values):
    column = np.array(values)[:, None]
    scale = NormalScores.fit(column)
    expected = ndtri(np.clip((rankdata(values) - 0.5) / len(values), 0.01, 0.99))
    np.testing.assert_allclose(scale.transform(column)[:, 0], expected, atol=1e-12)


def test_normal_scores_of_many_values_are_interpolated_and_do_not_go_beyond():
    values = RNG.random((5000, 1))
    scale = NormalScores.fit(values)
    new = np.array([[-9.0], [0.25], [0.5], [NAN], [9.0]])
    z = scale.transform(new)[:, 0]
    np.testing.assert_allclose(z[[0, 4]], ndtri([0.01, 0.99]))
    np.testing.assert_allclose(z[[1, 2]], ndtri([0.25, 0.5]), atol=0.06)
    assert z[3] == 0


def test_a_missing_signal_is_told_from_the_others():
    """By least squares of normal scores on the rows that have all."""
    rng = np.random.default_rng(7)
    covariance = [[1, 0.8, 0.3], [0.8, 1, 0.5], [0.3, 0.5, 1]]
    whole = rng.multivariate_normal(np.zeros(3), covariance, 20_000)
    scale = NormalScores.fit(np.where(rng.random(whole.shape) < 0.2, NAN, whole))
    z = scale.transform(whole)
    for missing in range(3):
        others = [signal for signal in range(3) if signal != missing]
        known = np.full_like(whole, NAN)
        known[:, others] = whole[:, others]
        expected = z[:, others] @ np.linalg.lstsq(z[:, others], z[:, missing], rcond=None)[0]
        assert np.abs(scale.transform(known)[:, missing] - expected).max() < 0.15


def test_a_weighted_sum_of_columns_is_a_line_with_bends_at_the_knots():
    z = np.linspace(-2, 2, 4001)
    curve = bent(z[:, None], 3) @ [1.0, -2.0, 3.0, 1.0]
    bends = z[1:-1][np.abs(np.diff(curve, n=2)) > 1e-9]
    for knot in ndtri([0.25, 0.5, 0.75]):
        assert np.abs(bends - knot).min() < 0.002
    assert len(bends) <= 6


def test_independent_evidence_is_added_up():
    new, correct, posterior = world(seed=1)
    found = FITTED.predict(new)
    assert np.abs(found - posterior).mean() < 0.02
    best = metrics.binary_nll(posterior, correct)
    assert metrics.binary_nll(found, correct) < best + 0.004
    for name in new:
        alone = FITTED.predict({name: new[name]})
        assert metrics.binary_nll(alone, correct) > best + 0.05
        assert metrics.expected_calibration_error(alone, correct, 10) < 0.04


def test_disagreement_counts_where_it_means_something():
    """Right only if two signals agree: no sum of curves knows that."""
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(2, 4000))
    signals = {"a": a, "b": b}
    correct = rng.random(4000) < expit(2 - 4 * np.abs(a - b))
    ensemble = SignalEnsemble().fit(signals, correct)
    assert ensemble.weights.disagreement["a", "b"] < -3
    assert metrics.auroc(ensemble.predict(signals), correct) > 0.8


def test_without_a_signal_it_is_nearly_as_good_as_if_it_had_never_been():
    part = {"agreement": SIGNALS["agreement"]}
    alone = SignalEnsemble(penalty=3.0).fit(part, CORRECT).predict(part)
    never = metrics.binary_nll(alone, CORRECT)
    assert metrics.binary_nll(FITTED.predict(part), CORRECT) < never + 0.005
    # All rows had the signal, so that its absence says nothing.
    in_vain = FITTED.predict({**part, "stated": np.full(len(CORRECT), NAN)})
    np.testing.assert_allclose(in_vain, FITTED.predict(part), atol=1e-12)


def test_silence_is_a_signal_where_it_goes_with_wrong_answers():
    rng = np.random.default_rng(3)
    wrong = np.flatnonzero(CORRECT == 0)
    silent = hidden(SIGNALS, stated=rng.choice(wrong, 300, replace=False))
    ensemble = SignalEnsemble(penalty=3.0).fit(silent, CORRECT)
    assert ensemble.weights.silence["stated"] < -2
    assert ensemble.weights.silence["agreement"] == pytest.approx(0, abs=1e-9)
    asked = ensemble.predict({"stated": [NAN], "agreement": [0.0]})
    not_asked = ensemble.predict({"agreement": [0.0]})
    assert asked < 0.1
    assert not_asked == pytest.approx(0.5, abs=0.05)


def test_silence_at_random_says_little():
    rng = np.random.default_rng(4)
    silent = hidden(SIGNALS, stated=rng.random(6000) < 0.3, agreement=rng.random(6000) < 0.3)
    ensemble = SignalEnsemble().fit(silent, CORRECT)
    assert max(map(abs, ensemble.weights.silence.values())) < 0.2
    nothing = ensemble.predict({"stated": [NAN], "agreement": [NAN]})
    assert nothing == pytest.approx(0.5, abs=0.05)
    new, _, posterior = world(seed=5)
    assert np.abs(ensemble.predict(new) - posterior).mean() < 0.025


def test_signals_that_were_never_both_there_are_added_up():
    half = np.arange(6000) < 3000
    never = hidden(SIGNALS, stated=half, agreement=~half)
    ensemble = SignalEnsemble(penalty=3.0).fit(never, CORRECT)
    new, correct, posterior = world(seed=1)
    best = metrics.binary_nll(posterior, correct)
    assert metrics.binary_nll(ensemble.predict(new), correct) < best + 0.01


@pytest.mark.parametrize("change", [np.log, np.square, lambda p: 100 * p, np.float32])
def test_only_the_order_of_a_signal_counts(change):
    signals = {
        "stated": (40 * SIGNALS["stated"]).round().clip(1) / 40,
        "agreement": SIGNALS["agreement"],
    }
    other = {**signals, "stated": change(signals["stated"])}
    fit, same = (SignalEnsemble(penalty=3.0).fit(s, CORRECT) for s in (signals, other))
    np.testing.assert_allclose(fit.predict(signals), same.predict(other), atol=1e-5)


def test_neither_the_order_of_rows_nor_that_of_signals_counts():
    rows = RNG.permutation(6000)
    turned = {name: SIGNALS[name][rows] for name in ("agreement", "stated")}
    other = SignalEnsemble(penalty=3.0).fit(turned, CORRECT[rows])
    np.testing.assert_allclose(other.predict(SIGNALS), FITTED.predict(SIGNALS), atol=1e-5)


def test_what_helps_within_tasks_only_is_seen_when_whole_tasks_are_left_out():
    rng = np.random.default_rng(6)
    task = rng.integers(12, size=2400)
    rate, fingerprint = rng.random((2, 12))
    correct = rng.random(2400) < rate[task]
    signals = {"fingerprint": fingerprint[task], "noise": rng.random(2400)}
    by_rows = SignalEnsemble().fit(signals, correct)
    by_tasks = SignalEnsemble().fit(signals, correct, task)
    assert by_tasks.penalty_ > 10 * by_rows.penalty_


def test_weights_and_curves_say_what_moves_the_answer():
    weights = FITTED.weights
    assert list(weights.signals) == ["stated", "agreement"]
    # The signals are log-odds themselves; between their deciles lie 2 * 1.28 * sqrt(1.25).
    assert np.array(list(weights.signals.values())) == pytest.approx(2.87, abs=0.35)
    values, log_odds = FITTED.curve("agreement")
    np.testing.assert_allclose(np.diff(values) > 0, True)
    inner = (values > -1.5) & (values < 1.5)
    assert np.abs(log_odds - values)[inner].max() < 0.35
    turned = SignalEnsemble(penalty=3.0).fit({"doubt": -SIGNALS["agreement"]}, CORRECT)
    assert turned.weights.signals["doubt"] < -2


def test_frames_lists_and_booleans_are_taken():
    frame = pd.DataFrame(SIGNALS)
    ensemble = SignalEnsemble(penalty=3.0).fit(frame, CORRECT.astype(bool))
    np.testing.assert_array_equal(ensemble.predict(frame), FITTED.predict(SIGNALS))
    lists = {"stated": [0.9, None], "agreement": [1, 2]}
    assert ensemble.predict(lists).shape == (2,)


@given(seed=st.integers(0, 10_000), n=st.integers(4, 60), names=st.sets(st.sampled_from("abc")))
@settings(deadline=None, max_examples=20)
def test_small_and_odd_data_give_probabilities(seed, n, names):
    rng = np.random.default_rng(seed)
    signals = {}
    for name in sorted(names) or ["a"]:
        values = rng.choice([0.0, 0.5, 1.0, NAN], n) if seed % 2 else rng.normal(size=n)
        values[rng.integers(n)] = 1.0
        signals[name] = values
    correct = np.arange(n) % 3 == 0
    found = SignalEnsemble(seed=seed).fit(signals, correct).predict(signals)
    assert ((found > 0) & (found < 1)).all()


def test_what_is_loaded_predicts_the_same(tmp_path):
    ensemble = SignalEnsemble(n_knots=5, penalty=2.0).fit(SIGNALS, CORRECT)
    ensemble.save_pretrained(tmp_path / "saved")
    ensemble.save_pretrained(tmp_path / "saved")
    loaded = SignalEnsemble.from_pretrained(tmp_path / "saved")
    assert repr(loaded) == repr(ensemble) == "SignalEnsemble(n_knots=5, penalty=2.0)"
    np.testing.assert_array_equal(loaded.predict(SIGNALS), ensemble.predict(SIGNALS))
    assert loaded.weights == ensemble.weights
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="something else"):
        ensemble.save_pretrained(tmp_path / "other")


def in_config(**changes):
    def change(folder):
        config = json.loads((folder / CONFIG).read_text())
        for key, value in changes.items():
            place = config if key in config else config["fitted"]
            place = place if key in place else config["parameters"]
            place[key] = value
        (folder / CONFIG).write_text(json.dumps(config))

    return change


def in_arrays(name, function):
    def change(folder):
        arrays = load_file(folder / ARRAYS)
        arrays[name] = np.ascontiguousarray(function(arrays[name]))
        save_file(arrays, folder / ARRAYS)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (in_config(**{"class": "PlattScaling"}), "SignalEnsemble, got 'PlattScaling'"),
        (in_config(names_=["stated"]), r"`values_` to be of shape \(1, 64\)"),
        (in_config(names_=["stated", "stated"]), "different names"),
        (in_config(names_=[]), "one or more"),
        (in_config(penalty_=-1.0), "`penalty_`"),
        (in_config(penalty=-1.0), "`penalty`"),
        (in_config(n_knots=0), "`n_knots`"),
        (in_config(n_knots=4), r"`coefficients_` to be of shape \(14,\)"),
        (in_config(format_version=99), "upgrade"),
        (in_arrays("values_", lambda a: a[:, ::-1]), "`values_` to be in ascending order"),
        (in_arrays("scores_", lambda a: a[:, ::-1]), "`scores_` to be in ascending order"),
        (in_arrays("coefficients_", lambda a: a[:3]), "`coefficients_` to be of shape"),
        (in_arrays("coefficients_", lambda a: a * NAN), "NaN or infinity"),
        (in_arrays("moments_", lambda a: -a), "`moments_` to be positive definite"),
        (in_arrays("moments_", np.triu), "`moments_` to be positive definite"),
        (in_arrays("moments_", lambda a: a.astype(np.float32)), "float64"),
        (lambda folder: (folder / ARRAYS).write_bytes(b"oh"), "damaged"),
        (lambda folder: (folder / CONFIG).write_text("{"), "not JSON"),
    ],
)
def test_damaged_files_are_refused_by_name(change, message, tmp_path):
    FITTED.save_pretrained(tmp_path / "saved")
    change(tmp_path / "saved")
    with pytest.raises(ValueError, match=message) as caught:
        SignalEnsemble.from_pretrained(tmp_path / "saved")
    assert "recalibrator." in str(caught.value)


@pytest.mark.parametrize(
    ("signals", "correct", "tasks", "error", "message"),
    [
        ({}, [0, 1], None, ValueError, "`signals` to be one or more of different names"),
        ([0.1, 0.2], [0, 1], None, TypeError, "`signals` to map names"),
        ({"a": [0.1, NAN, 0.2]}, [0, 1], None, ValueError, "`correct` .* length 3"),
        ({"a": [0.1, 0.2], "b": [0.1]}, [0, 1], None, ValueError, "one length.*'b': 1"),
        ({"a": [[0.1, 0.2]]}, [0, 1], None, ValueError, r"`a` to be a vector"),
        ({"a": ["high", "low"]}, [0, 1], None, TypeError, "`a` to hold numbers"),
        ({"a": []}, [], None, ValueError, r"`a` to be a vector"),
        ({"a": [0.1, np.inf]}, [0, 1], None, ValueError, "`a` to be finite.* inf at row 1"),
        ({"a": [0.1, 0.2], "b": [NAN] * 2}, [0, 1], None, ValueError, "NaN in all of 'b'"),
        ({"a": [0.1, 0.2]}, [1, 1], None, ValueError, "wrong in others, but got 1 in all"),
        ({"a": [0.1, 0.2]}, [0, 0], None, ValueError, "0 in all"),
        ({"a": [0.1, 0.2]}, [0, 2], None, ValueError, "`correct`"),
        ({"a": [0.1, 0.2]}, [0, 1], ["t", "t"], ValueError, "`tasks` .* two different"),
        ({"a": [0.1, 0.2]}, [0, 1], ["t"], ValueError, "length 2|two different"),
    ],
)
def test_what_cannot_be_fitted_is_refused(signals, correct, tasks, error, message):
    with pytest.raises(error, match=message):
        SignalEnsemble().fit(signals, correct, tasks)


def test_what_cannot_be_predicted_is_refused():
    with pytest.raises(NotFittedError, match="fit"):
        SignalEnsemble().predict(SIGNALS)
    with pytest.raises(ValueError, match="one of 'agreement', 'stated', but got 'other'"):
        FITTED.predict({"other": [0.5]})
    with pytest.raises(ValueError, match="one or more"):
        FITTED.predict({})
    with pytest.raises(ValueError, match="one of"):
        FITTED.curve("other")


@pytest.mark.parametrize(
    "options", [{"n_knots": 0}, {"penalty": 0.0}, {"n_folds": 1}, {"seed": -1}]
)
def test_parameters_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=f"`{next(iter(options))}`"):
        SignalEnsemble(**options)


def test_beyond_what_was_fitted_nothing_is_extrapolated():
    rng = np.random.default_rng(3)
    one = rng.uniform(0.8, 1.0, 600)
    two = one + rng.normal(0, 0.01, 600)  # never far from the other
    correct = rng.random(600) < 2 * one - 1
    ensemble = SignalEnsemble().fit({"one": one, "two": two}, correct)
    seen = ensemble.predict({"one": one, "two": two})
    low, high = ensemble.predict({"one": [-1e9, 1e9], "two": [-1e9, 1e9]})
    assert (low, high) == pytest.approx((seen.min(), seen.max()), abs=0.02)
    apart = ensemble.predict({"one": [0.8, 1.0, 0.8], "two": [1.0, 0.8, np.nan]})
    assert seen.min() <= apart.min() <= apart.max() <= seen.max()
    assert (np.abs(apart[:2] - correct.mean()) < 0.35).all()
    scale = NormalScores(ensemble.values_, ensemble.scores_, ensemble.moments_)
    z = scale.transform(np.array([[0.8, 1.0], [1.0, 0.8]]))
    farthest = np.abs(np.diff(scale.transform(np.column_stack([one, two])))).max()
    assert np.abs(np.diff(z)).min() > 2 * farthest  # as far apart as none that was fitted
    columns = np.column_stack([bent(z, ensemble.n_knots), np.full(2, farthest)])
    line = ensemble.coefficients_[0] + columns @ ensemble.coefficients_[1:-2]
    expected = (1 / (1 + np.exp(-line))).clip(seen.min(), seen.max())
    np.testing.assert_allclose(apart[:2], expected, rtol=1e-9)


def test_a_missing_signal_is_filled_within_what_it_was():
    rng = np.random.default_rng(4)
    one = rng.normal(size=500)
    two = 0.9 * one + 0.44 * rng.normal(size=500)
    scale = NormalScores.fit(np.column_stack([one, two, 2 * one - two]))
    filled = scale.transform(np.array([[3.0, -3.0, np.nan], [-3.0, 3.0, np.nan]]))
    lowest, highest = scale.scores[2, [0, -1]]  # the line through the others lies far beyond
    assert filled[:, 2].tolist() == [highest, lowest]


@pytest.mark.parametrize("n", [12, 400])
def test_separated_answers_are_no_certainty(n):
    signal = np.linspace(0, 1, n)
    ensemble = SignalEnsemble(penalty=0.3).fit({"a": signal}, signal > 0.5)
    low, high = ensemble.predict({"a": [0.0, 1.0]})
    assert 1 / (2 * n) <= low * (1 + 1e-9) < 0.3
    assert 0.7 < high <= (1 - 1 / (2 * n)) * (1 + 1e-9)


def test_a_constant_signal_says_the_rate():
    correct = np.arange(200) % 4 > 0
    ensemble = SignalEnsemble().fit({"a": np.ones(200)}, correct)
    found = ensemble.predict({"a": [0.1, 0.999, 1.0, np.nan]})
    np.testing.assert_allclose(found, 0.75, atol=0.01)
