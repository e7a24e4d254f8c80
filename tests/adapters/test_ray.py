"""Extraction by workers: the class alone, and on a local Ray cluster of two workers."""

import importlib.util
import os
import pickle
import runpy
import warnings
from pathlib import Path

import numpy as np
import pytest
from extraction_script import task

from thermometer.adapters.tables import Extractor, write_table
from thermometer.extraction import extract
from thermometer.tables import OutputTable
from thermometer.tasks import question_row
from thermometer.templates import Template
from thermometer.types import Question, Task

ROOT = Path(__file__).parents[2]
CLOZE = Template("cloze")
CPU = {"accelerator": "cpu", "enable_progress_bar": False}


def rows_of(*tasks):
    """Rows with all columns, as a reader of JSON lines makes them."""
    rows = [question_row(q, t.name) for t in tasks for q in t.questions]
    return [{"answer": -1, "context": None, **row} for row in rows]


def batches_of(rows, size):
    for start in range(0, len(rows), size):
        chosen = rows[start : start + size]
        yield {name: [row[name] for row in chosen] for name in chosen[0]}


def assert_same_table(found, expected, atol=1e-5):
    assert found.ids == expected.ids
    assert found.tasks.tolist() == expected.tasks.tolist()
    assert found.digest == expected.digest
    assert found.provenance == expected.provenance
    for name in ("labels", "scores", "features", "option_mass"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=atol)


@pytest.fixture(scope="module")
def expected(llama_folder, tmp_path_factory):
    """What `extract` makes of the tasks."""
    from thermometer.language_model import LanguageModel

    lm = LanguageModel.from_pretrained(llama_folder)
    folder = tmp_path_factory.mktemp("expected") / "t"
    return extract(lm, [task("a", 30), task("b", 9)], folder, template=CLOZE, trainer=CPU)


@pytest.fixture(scope="module")
def extractor(llama_folder):
    return Extractor(llama_folder, template=CLOZE, device="cpu")


def test_any_batches_give_the_table_of_extract(extractor, expected, tmp_path):
    rows = rows_of(task("a", 30), task("b", 9))
    for size in (1, 7, 100):
        done = [extractor(batch) for batch in batches_of(rows[::-1], size)]
        found = write_table(done, tmp_path / str(size), order=expected.ids)
        assert_same_table(found, expected)


def test_a_data_set_takes_it_too(extractor, expected, tmp_path):
    datasets = importlib.import_module("datasets")
    rows = rows_of(task("a", 30), task("b", 9))
    done = datasets.Dataset.from_list(rows).map(extractor, batched=True, batch_size=10)
    found = write_table([done[start : start + 13] for start in range(0, 39, 13)], tmp_path / "t")
    assert_same_table(found, expected)


def test_one_product_alone_of_a_cut_model(llama_folder):
    cut = Extractor(llama_folder, scores=False, num_layers=1, feature_dtype="float16", device="cpu")
    out = cut(next(batches_of(rows_of(task("a", 3)), 3)))
    assert "scores" not in out
    assert (out["features"].shape, out["features"].dtype) == ((3, 32), np.float16)
    with pytest.raises(ValueError, match="model cut to its first layers"):
        Extractor(llama_folder, num_layers=1)
    with pytest.raises(ValueError, match="False for both"):
        Extractor(llama_folder, features=False, scores=False)
    with pytest.raises(ValueError, match="`feature_dtype` to be one of"):
        Extractor(llama_folder, feature_dtype="int8")


def test_demonstrations_and_passages_reach_the_prompts(llama_folder, lm):
    shots = (Question("d", "Which is red?", ("sky", "rose"), answer=1),)
    question = Question("q", "Which is blue?", ("sky", "rose"), context="Look up.")
    template = Template(shots=1)
    made = Extractor(llama_folder, template=template, demonstrations={"t": shots}, device="cpu")
    out = made(next(batches_of(rows_of(Task("t", (question,))), 1)))
    expected = lm.outputs(template.render_task(Task("t", (question,), shots)), template)
    np.testing.assert_allclose(out["scores"][0], expected.scores[0], atol=1e-4)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra ray")
def test_two_workers_of_a_ray_cluster_make_the_table_of_extract(llama_folder, expected, tmp_path):
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    example = runpy.run_path(str(ROOT / "examples" / "ray_extract.py"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Ray warns of is not ours
        found = example["main"]([task("a", 30), task("b", 9)], tmp_path / "t", llama_folder)
    assert_same_table(found, expected)
    assert_same_table(OutputTable.open(tmp_path / "t"), expected)


def test_what_travels_to_workers_is_small():
    """Its class and arguments, never a model."""
    assert len(pickle.dumps((Extractor, Template("cloze", shots=2)))) < 500
