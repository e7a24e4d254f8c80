"""A study from files to report: what is asked for is measured, written and said."""

import json
import re
from io import StringIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from synthetic import make_table

from thermometer.comparison import compare
from thermometer.methods import METHODS
from thermometer.protocols import Protocol
from thermometer.reports.study_report import print_study, write_study
from thermometer.study import Study

MODELS = ("small-model", "big|model")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    for factor, name in zip((1.0, 1.5), MODELS, strict=True):
        table = make_table(n=30)
        rows = {
            "id": list(table.ids),
            "task": table.tasks.tolist(),
            "label": table.labels.tolist(),
            "scores": [[s for s in row if s > -np.inf] for row in (table.scores * factor).tolist()],
        }
        pq.write_table(pa.table(rows), folder / f"{name}.parquet")
    features = pa.array(table.features.tolist(), pa.list_(pa.float32(), 4))
    pq.write_table(
        pa.table({**{k: rows[k] for k in ("id", "task", "label")}, "features": features}),
        folder / "features.parquet",
    )
    return folder


def study(folder, **options):
    options = {
        "methods": ("vanilla", "isotonic", "thermometer", "thermometer_task"),
        "features": str(folder / "features.parquet"),
        "protocol": Protocol(folds=2),
        "network": {"n_components": 0, "n_members": 1},
        "training": {"max_steps": 40},
        "n_resamples": 50,
        "n_repeats": 2,
        **options,
    }
    scores = tuple(str(folder / f"{name}.parquet") for name in MODELS)
    return Study(scores=scores, out_dir=str(folder / "out"), **options)


@pytest.fixture(scope="module")
def report(folder):
    asked = study(folder, n_seeds=2, labels=(0, 10, None), prompts=(1, None), transfer=True)
    return asked.measure(asked.load())


def test_the_numbers_are_those_of_a_plain_comparison(folder, report):
    table = study(folder).load()["small-model"]
    ones = compare(
        table.scores, table.labels, table.tasks, {"v": np.ones(len(table))}, baseline="v"
    )
    found = report.comparisons["small-model"][0].methods["vanilla"]
    for key in ("nll", "ece_10", "accuracy"):
        for scope in ("mean_over_tasks", "all_rows"):
            expected = getattr(ones.methods["v"], scope)[key].estimate
            assert getattr(found, scope)[key].estimate == pytest.approx(expected)


def test_everything_asked_for_is_there(report):
    assert list(report.comparisons) == list(MODELS)
    for found in report.comparisons.values():
        assert len(found) == 2
        names = ["vanilla", "pooled", "isotonic", "thermometer", "thermometer_task", "topline"]
        assert list(found[0].methods) == names
        nll = [c.methods["thermometer"].mean_over_tasks["nll"].estimate for c in found]
        assert nll[0] != nll[1], "another seed is another training"
    assert set(report.transfer) == {(one, other) for one in MODELS for other in MODELS}
    assert set(report.labels) == set(report.prompts) == set(MODELS)
    assert report.labels[MODELS[0]].x == (0, 10, None)


def test_transfer_uses_what_was_fitted_on_the_other_model(report):
    """Scores times 1.5 need a temperature times 1.5: the other's is off by that factor."""
    own = report.transfer[MODELS[0], MODELS[0]].temperature["pooled"]
    cross = report.transfer[MODELS[0], MODELS[1]].temperature["pooled"]
    fitted = report.transfer[MODELS[1], MODELS[1]].temperature["pooled"]
    assert cross == pytest.approx(own)
    assert fitted == pytest.approx(1.5 * own)
    numbers = {
        pair: report.transfer[pair].methods["pooled"].mean_over_tasks["nll"].estimate
        for pair in report.transfer
    }
    assert numbers[MODELS[0], MODELS[1]] > numbers[MODELS[1], MODELS[1]]


def test_the_files_are_whole_and_names_harmless(report, tmp_path):
    write_study(report, tmp_path / "new")
    names = {path.name for path in (tmp_path / "new").iterdir()}
    for model in ("small-model", "big_model"):
        assert f"{model}-reliability.png" in names
        assert f"{model}-labels-nll.png" in names
        assert f"{model}-prompts-ece_10.png" in names
    fields = json.loads((tmp_path / "new" / "report.json").read_text())
    assert fields["format_version"] == 1
    assert len(fields["transfer"]) == 4
    text = (tmp_path / "new" / "report.md").read_text()
    for block in text.split("\n\n"):
        if "| ---" in block:
            rows = [line for line in block.splitlines() if line.startswith("|")]
            assert len({len(re.findall(r"(?<!\\)\|", line)) for line in rows}) == 1, rows[0]
    for name in re.findall(r"\]\(([^)]*)\)", text):
        assert name in names
    page = (tmp_path / "new" / "report.html").read_text()
    assert not re.search(r"url\(|@import|https?://|<script", page)
    assert "nan" not in text


def test_the_terminal_needs_eighty_columns(report):
    console = Console(width=80, record=True, file=StringIO())
    print_study(report, console)
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    for word in ("one temperature", "best (own labels)", "ECE by chance", *MODELS):
        assert word in text
    assert " ".join(report.verdict) in " ".join(text.split())


def test_a_thermometer_of_scores_needs_no_features(folder):
    """That of an API: no small model is at hand."""
    asked = study(
        folder,
        methods=None,
        features=None,
        preset="scores",
        network={"n_members": 1},
        training={"max_steps": 10},
        prompts=(1, None),
    )
    found = asked.measure({"big": asked.load()["big|model"]})
    assert list(found.comparisons["big"][0].methods) == [*METHODS, "topline"]
    assert found.prompts["big"].varying


def test_without_features_all_other_methods_are_compared(folder):
    asked = study(folder, methods=None, features=None, network={}, training={})
    assert asked.methods == ("vanilla", "pooled", "platt", "isotonic", "histogram", "batch")
    report = asked.run()
    assert not report.transfer
    assert (folder / "out" / "report.html").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": None}, "`features` to be a table"),
        ({"methods": ("nonsense",)}, "nonsense"),
        ({"methods": ("vanilla",), "prompts": (1,)}, "with a thermometer"),
        ({"preset": "best"}, "preset"),
        ({"network": {"depth": 3}}, "depth"),
        ({"n_seeds": 0}, "n_seeds"),
        ({"labels": (5, -1)}, "`labels` to be an integer of at least 0"),
        ({"prompts": (0,)}, "`prompts` to be an integer of at least 1"),
        ({"reference": "base.parquet"}, "`reference` to be None, since the preset 'default'"),
        ({"methods": None, "preset": "reference"}, "`reference` to be a table, since"),
    ],
)
def test_wrong_requests_are_refused(folder, options, message):
    with pytest.raises(ValueError, match=message):
        study(folder, **options)


def test_a_table_without_scores_and_a_place_that_is_a_file_are_named(folder, tmp_path):
    (tmp_path / "a.jsonl").write_text('{"id": "q1", "task": "t", "label": 0, "logits": [1, 2]}\n')
    asked = Study(scores=(str(tmp_path / "a.jsonl"),), out_dir=str(tmp_path / "out"))
    with pytest.raises(ValueError, match=r"a\.jsonl: no column scores"):
        asked.run()
    assert not (tmp_path / "out").exists()
    nowhere = Study(scores=("nowhere.parquet",), out_dir=str(tmp_path / "a.jsonl"))
    with pytest.raises(NotADirectoryError, match=r"a\.jsonl is a file, no folder"):
        nowhere.run()


def test_one_model_twice_is_refused(folder):
    asked = Study(scores=(str(folder / "small-model.parquet"),) * 2, out_dir="out")
    with pytest.raises(ValueError, match="small-model twice"):
        asked.load()
