"""Saving and loading of every recalibrator, and what is refused."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file
from sklearn.exceptions import NotFittedError

from thermometer import recalibrators

CONFIG, ARRAYS = "recalibrator.json", "recalibrator.safetensors"
NAN = float("nan")
FINE = {"thresholds_": np.array([0.2, 0.9]), "rates_": np.array([0.1, 0.8])}


def fitted(kind, seed=0, n=60, **parameters):
    rng = np.random.default_rng(seed)
    made = kind(**parameters)
    if made.reads == "confidence":
        confidence = rng.random(n).round(1)
        return made.fit(confidence, rng.random(n) < confidence)
    scores = rng.normal(size=(n, 4)) * 3
    scores[: n // 2, 3] = -np.inf
    tasks = np.where(np.arange(n) % 3, "one", "other")
    return made.fit(scores, rng.integers(3, size=n), tasks)


def predictions(made):
    if made.reads == "confidence":
        return made.predict_proba(np.linspace(0, 1, 101))
    scores = np.random.default_rng(1).normal(size=(9, 4)) * 3
    scores[:3, 3] = -np.inf
    return made.predict_proba(scores, ["one", "new", "other"] * 3)


ALL = [
    *((kind, {}) for kind in recalibrators.CLASSES.values()),
    (recalibrators.TemperatureScaling, {"per_task": True}),
    (recalibrators.BatchCalibration, {"per_task": True}),
    (recalibrators.PlattScaling, {"epsilon": 0.02}),
    (recalibrators.IsotonicCalibration, {"centred": True}),
    (recalibrators.HistogramBinning, {"n_bins": 4, "binning": "width"}),
]


@pytest.mark.parametrize(("kind", "parameters"), ALL)
@given(seed=st.integers(0, 1000), n=st.integers(8, 80))
@settings(deadline=None, max_examples=5)
def test_what_is_loaded_predicts_the_same(kind, parameters, seed, n, tmp_path_factory):
    made = fitted(kind, seed, n, **parameters)
    folder = tmp_path_factory.mktemp("saved") / "recalibrator"
    made.save_pretrained(folder)
    loaded = recalibrators.load(folder)
    assert type(loaded) is kind
    assert repr(loaded) == repr(made)
    assert loaded.notes_ == made.notes_
    np.testing.assert_array_equal(predictions(loaded), predictions(made))
    loaded.save_pretrained(folder)  # in the place of the other
    np.testing.assert_array_equal(predictions(recalibrators.load(folder)), predictions(made))
    assert sorted(file.name for file in folder.parent.iterdir()) == ["recalibrator"]


def test_every_public_estimator_can_be_loaded():
    public = {
        name
        for name in dir(recalibrators)
        if hasattr(getattr(recalibrators, name), "fit") and not name.endswith("Recalibrator")
    }
    assert public == set(recalibrators.CLASSES)


def test_the_files_are_what_is_documented(tmp_path):
    fitted(recalibrators.TemperatureScaling, per_task=True).save_pretrained(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == [CONFIG, ARRAYS]
    config = json.loads((tmp_path / CONFIG).read_text())
    assert config["class"] == "TemperatureScaling"
    assert config["parameters"] == {"per_task": True}
    assert config["fitted"]["tasks_"] == ["one", "other"]
    assert list(load_file(tmp_path / ARRAYS)) == ["task_temperature_"]


def test_nothing_unfitted_is_saved_and_nothing_foreign_replaced(tmp_path):
    with pytest.raises(NotFittedError):
        recalibrators.PlattScaling().save_pretrained(tmp_path / "new")
    assert not (tmp_path / "new").exists()
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="holds something else than a recalibrator"):
        fitted(recalibrators.PlattScaling).save_pretrained(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def changed(folder, change):
    config = json.loads((folder / CONFIG).read_text())
    change(config)
    (folder / CONFIG).write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("class"), "missing class in file"),
        (lambda c: c.update(extra=1), "unknown extra in file"),
        (lambda c: c["fitted"].pop("slope_"), "missing slope_ in fitted"),
        (lambda c: c["fitted"].update(extra=1), "unknown extra in fitted"),
        (lambda c: c["parameters"].pop("epsilon"), "missing epsilon in parameters"),
        (lambda c: c["parameters"].update(extra=1), "unknown extra in parameters"),
        (lambda c: c["parameters"].update(epsilon=2.0), "`epsilon` to be a number in"),
        (lambda c: c["fitted"].update(slope_=NAN), "not JSON .*NaN is no number"),
        (lambda c: c["fitted"].update(slope_="1"), "expected slope_ to be of kind number, got '1'"),
        (lambda c: c["fitted"].update(slope_=True), "expected slope_ to be of kind number"),
        (lambda c: c.update(format_version=9), "in format 9; this is .*upgrade it"),
        (lambda c: c.update(format_version=0), "format_version to be at least 1"),
        (lambda c: c.update({"class": "os.system"}), "class to be one of .*, got 'os.system'"),
        (lambda c: c.update({"class": "IsotonicCalibration"}), "missing centred in parameters"),
        (lambda c: c.update(fitted=[]), r"expected fitted to be dict, got \[\]"),
    ],
)
def test_a_changed_file_is_refused_and_named(tmp_path, change, message):
    fitted(recalibrators.PlattScaling).save_pretrained(tmp_path)
    changed(tmp_path, change)
    with pytest.raises(ValueError, match=rf"recalibrator.json: .*{message}"):
        recalibrators.load(tmp_path)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "missing rates_, seen_, thresholds_ in arrays"),
        ({"thresholds_": np.zeros(2), "rates_": np.array([0, NAN])}, "rates_ holds NaN"),
        (
            {"thresholds_": np.zeros(2), "rates_": np.zeros((1, 2))},
            "rates_ to be float64 of 1 axes",
        ),
        (
            {"thresholds_": np.zeros(2), "rates_": np.zeros(2, np.float32)},
            "rates_ to be float64 of 1 axes, got float32",
        ),
        (
            {"thresholds_": np.zeros(2), "rates_": np.zeros(3)},
            "`rates_` to be a vector of length 2",
        ),
        ({"thresholds_": np.array([0.1, 0.2]), "rates_": np.array([0.9, 0.1])}, "ascending order"),
        ({"thresholds_": np.zeros(2), "rates_": np.array([0.5, 7])}, r"`rates_` to be in \[0, 1\]"),
        ({**FINE, "seen_": np.array([0.2])}, "`seen_` to be pairs in ascending order"),
        ({**FINE, "seen_": np.array([0.9, 0.2])}, "`seen_` to be pairs in ascending order"),
        ({**FINE, "seen_": np.array([0.2, 1.5])}, r"`seen_` to be in \[0, 1\]"),
    ],
)
def test_arrays_that_no_fit_gives_are_refused(tmp_path, arrays, message):
    fitted(recalibrators.IsotonicCalibration).save_pretrained(tmp_path)
    save_file({"seen_": np.array([0.2, 0.9]), **arrays} if arrays else {}, tmp_path / ARRAYS)
    with pytest.raises(ValueError, match=f"recalibrator.*: .*{message}"):
        recalibrators.load(tmp_path)


@pytest.mark.parametrize(
    ("kind", "name", "value", "message"),
    [
        (recalibrators.TemperatureScaling, "temperature_", 0.0, "`temperature_` to be a number in"),
        (recalibrators.BatchCalibration, "groups_", ["a", "b", "c"], "`groups_` to be of length 2"),
        (
            recalibrators.StatedConfidenceCalibration,
            "unparsed_rate_",
            2.0,
            "`unparsed_rate_` to be",
        ),
        (recalibrators.IsotonicCalibration, "least_", -0.1, "`least_` to be a number in"),
        (recalibrators.PlattScaling, "least_", 1.1, "`least_` to be a number in"),
        (recalibrators.HistogramBinning, "most_", 1.1, "`most_` to be a number in"),
    ],
)
def test_numbers_that_no_fit_gives_are_refused(tmp_path, kind, name, value, message):
    fitted(kind).save_pretrained(tmp_path)
    changed(tmp_path, lambda config: config["fitted"].update({name: value}))
    with pytest.raises(ValueError, match=message):
        recalibrators.load(tmp_path)


def test_missing_and_damaged_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="is no recalibrator"):
        recalibrators.load(tmp_path)
    fitted(recalibrators.IsotonicCalibration).save_pretrained(tmp_path)
    (tmp_path / ARRAYS).write_bytes(b"nonsense")
    with pytest.raises(ValueError, match=r"recalibrator\.safetensors: damaged arrays"):
        recalibrators.load(tmp_path)
    (tmp_path / ARRAYS).unlink()
    with pytest.raises(FileNotFoundError, match=r"recalibrator\.safetensors: missing"):
        recalibrators.load(tmp_path)
    for text in ("{", "[]"):
        (tmp_path / CONFIG).write_text(text)
        with pytest.raises(ValueError, match=r"\.json: (not JSON|expected a JSON object)"):
            recalibrators.load(tmp_path)


def test_importing_needs_neither_torch_nor_transformers():
    code = (
        "import sys; import thermometer.recalibrators, thermometer.recalibrators.recommend; "
        "print({'torch', 'transformers', 'lightning', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
