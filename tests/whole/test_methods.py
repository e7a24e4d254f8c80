"""Methods by name: each equals its own few lines, none sees labels of the tasks it is tested on."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from sklearn.linear_model import LogisticRegression
from synthetic import make_fit, make_table

from thermometer.comparison import Predicted
from thermometer.methods import METHODS, FittedMethods, check_methods, hold_out, task_level
from thermometer.protocols import Protocol
from thermometer.tables import OutputTable

NAMES = tuple(METHODS)


@pytest.fixture(scope="module")
def table():
    return make_table(n=60)


@pytest.fixture(scope="module")
def parts(table):
    names = table.task_names
    return table.of_tasks(names[:8]), table.of_tasks(names[8:])


@pytest.fixture(scope="module")
def found(parts):
    seen, unseen = parts
    return FittedMethods(NAMES, seen, make_fit()).predict(unseen)


def softmax(scores, temperature=1.0):
    odds = np.exp((scores - scores.max(axis=1, keepdims=True)) / temperature)
    return odds / odds.sum(axis=1, keepdims=True)


def test_every_method_speaks_of_every_row(found, parts):
    assert tuple(found) == NAMES
    for method in found.values():
        if isinstance(method, Predicted):
            assert method.probs.sum(axis=1) == pytest.approx(1)
            assert len(method.answer) == len(parts[1])
        else:
            assert method.shape == (len(parts[1]),)
            assert (method > 0).all()


def test_where_all_answers_were_right_the_rest_goes_to_options_that_there_are():
    """Pooled temperature ends at its bound then, and leaves nothing to the others."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(60, 3)) * 9
    scores[::2, 2] = -np.inf
    tasks, labels = [f"task {i % 6}" for i in range(60)], scores.argmax(axis=1)
    table = OutputTable.from_arrays([f"q{i}" for i in range(60)], tasks, labels, scores)
    label_free = [name for name in METHODS if not name.startswith("thermometer")]
    fitted = FittedMethods(label_free, table.of_tasks([f"task {i}" for i in range(4)]))
    unseen = table.of_tasks(["task 4", "task 5"])
    for name in ("platt", "isotonic", "histogram"):
        probs = fitted.predict(unseen)[name].probs
        assert probs.sum(axis=1) == pytest.approx(1)
        assert (probs[np.isneginf(unseen.scores)] == 0).all()


def test_one_temperature_is_the_best_of_the_seen_tasks(found, parts):
    seen, _ = parts

    def nll(log_temperature):
        probs = softmax(seen.scores, np.exp(log_temperature))
        return -np.log(probs[np.arange(len(seen)), seen.labels]).mean()

    best = np.exp(minimize_scalar(nll, bounds=(-4, 4), method="bounded").x)
    assert found["pooled"] == pytest.approx(best, rel=1e-3)


def test_platt_is_a_logistic_regression_on_the_log_odds(found, parts):
    seen, unseen = parts
    own = [np.clip(softmax(t.scores).max(axis=1), None, 1 - 1e-6) for t in parts]
    odds = [np.log(p / (1 - p))[:, None] for p in own]
    correct = seen.scores.argmax(axis=1) == seen.labels
    model = LogisticRegression(C=np.inf, tol=1e-8).fit(odds[0], correct)
    rows = np.arange(len(unseen))
    probs, answer = found["platt"]
    assert (answer == unseen.scores.argmax(axis=1)).all()
    plain = model.predict_proba(odds[1])[:, 1]  # without Platt's own targets, which smooth a little
    assert probs[rows, answer] == pytest.approx(plain, abs=0.01)
    others = softmax(
        unseen.scores, found["pooled"][0]
    )  # share the rest as the pooled temperature has it
    for row in range(5):
        kept = (np.arange(others.shape[1]) != answer[row]) & (others[row] > 0)
        ratio = probs[row, kept] / others[row, kept]
        assert ratio == pytest.approx(ratio[0])


@pytest.mark.parametrize("name", ["platt", "isotonic", "histogram"])
def test_recalibrated_confidence_follows_the_models_own(found, parts, name):
    probs, answer = found[name]
    own = softmax(parts[1].scores).max(axis=1)
    order = np.argsort(own, kind="stable")
    confidence = probs[np.arange(len(own)), answer][order]
    if name == "histogram":
        assert len(np.unique(confidence)) <= 15
    else:
        assert (np.diff(confidence) >= -1e-12).all()


def test_batch_calibration_takes_each_tasks_own_bias_off(table):
    """Zhou et al.: log p less the log of the task's mean p, then the pooled temperature."""
    table = table.select(np.isfinite(table.scores).all(axis=1))
    names = table.task_names
    seen, unseen = table.of_tasks(names[:8]), table.of_tasks(names[8:])

    def fair(rows):
        probs = softmax(rows.scores)
        means = {name: probs[rows.tasks == name].mean(axis=0) for name in rows.task_names}
        return np.log(probs) - np.log([means[name] for name in rows.tasks])

    def nll(log_temperature):
        probs = softmax(fair(seen), np.exp(log_temperature))
        return -np.log(probs[np.arange(len(seen)), seen.labels]).mean()

    best = np.exp(minimize_scalar(nll, bounds=(-4, 4), method="bounded").x)
    found = FittedMethods(["batch"], seen).predict(unseen)["batch"]
    assert found.probs == pytest.approx(softmax(fair(unseen), best), abs=1e-4)
    assert (found.answer == fair(unseen).argmax(axis=1)).all()


def test_labels_of_unseen_tasks_change_nothing(found, parts):
    seen, unseen = parts
    wrong = replace(unseen, labels=(unseen.labels + 1) % unseen.n_options)
    again = FittedMethods(NAMES, seen, make_fit()).predict(wrong)
    for name in NAMES:
        pairs = [(found[name], again[name])]
        if isinstance(found[name], Predicted):
            pairs = list(zip(found[name], again[name], strict=True))
        for one, other in pairs:
            assert np.array_equal(one, other), name


def test_short_rows_keep_their_padding():
    inf = np.inf
    scores = [[2.0, 1.0, 0.0], [0.0, 3.0, -inf], [1.0, 0.0, 2.0], [0.5, 0.0, -inf]] * 3
    labels = [0, 1, 2, 1] * 3
    tasks = ["a"] * 6 + ["b"] * 6
    table = OutputTable.from_arrays([f"q{i}" for i in range(12)], tasks, labels, scores)
    seen, unseen = table.of_tasks(["a"]), table.of_tasks(["b"])
    for name, method in FittedMethods(NAMES[:6], seen).predict(unseen).items():
        if isinstance(method, Predicted):
            assert (method.probs[np.isneginf(unseen.scores)] == 0).all(), name


def test_wrong_requests_are_refused(table, parts):
    seen, unseen = parts
    with pytest.raises(ValueError, match=r"one of .*'uncalibrated', but got 'nonsense'"):
        check_methods(["nonsense"])
    with pytest.raises(ValueError, match="`fit` to be given"):
        FittedMethods(["thermometer"], seen)
    with pytest.raises(ValueError, match=r"not seen, but got task 00"):
        FittedMethods(["uncalibrated"], seen).predict(table)
    with pytest.raises(ValueError, match="trained on task"):
        FittedMethods(["thermometer"], seen, lambda _: make_fit()(table))
    hidden = replace(unseen, labels=np.full(len(unseen), -1))
    with pytest.raises(ValueError, match=r"`table` to be labelled .*240 of 240"):
        hold_out(hidden, ["uncalibrated"], Protocol(), progress=False)


def test_every_row_is_tested_once_by_methods_that_never_saw_its_task(table):
    seen_by = []

    def fit(seen):
        seen_by.append(set(seen.task_names))
        return make_fit()(seen)

    held = hold_out(table, ["thermometer"], Protocol(folds=3), fit, progress=False)
    assert len(seen_by) == 3
    assert sorted(held.table.ids) == sorted(table.ids)
    for fold, seen in enumerate(seen_by):
        assert not seen & set(held.table.tasks[held.fold == fold])


def test_the_temperature_of_a_task_is_the_harmonic_mean():
    temperature = np.array([1.0, 4.0, 2.0, 2.0])
    tasks = np.array(["a", "a", "b", "b"])
    assert task_level(temperature, tasks) == pytest.approx([1.6, 1.6, 2.0, 2.0])
