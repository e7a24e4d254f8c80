"""Features of one model and scores of another: one command, tokenised once, costs reported."""

import json

import numpy as np
import pytest
import tiny

from thermometer.extraction import extract, extract_both, report_costs
from thermometer.language_model import LanguageModel
from thermometer.templates import Template
from thermometer.types import Question, Task

CPU = {"accelerator": "cpu", "enable_progress_bar": False}
CLOZE = Template("cloze")
TASK = Task(
    "sizes",
    tuple(Question(f"s/{i}", "Which is it? " * (1 + i % 4), ("one", "two"), 0) for i in range(12)),
)


class Counting(LanguageModel):
    """Counts the prompts that it is asked to tokenise."""

    encoded = 0

    def encode(self, prompts, template):
        self.encoded += len(prompts)
        return super().encode(prompts, template)


def small(tokenizer=None):
    model = tiny.model("gpt2")
    return Counting(model, tokenizer or tiny.tokenizer(), name="small", num_layers=1)


def large():
    return Counting(tiny.model("llama"), tiny.tokenizer(), name="large")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("both")
    first, second = small(), large()
    table = extract_both(first, second, TASK, folder, template=CLOZE, trainer=CPU)
    return folder, table, first, second


def test_the_same_tables_as_one_after_the_other(made, tmp_path):
    _, table, first, second = made
    features = extract(first, TASK, tmp_path / "f", template=CLOZE, scores=False, trainer=CPU)
    scores = extract(second, TASK, tmp_path / "s", template=CLOZE, features=False, trainer=CPU)
    np.testing.assert_array_equal(table.features, features.features)
    np.testing.assert_array_equal(table.scores, scores.scores)
    assert table.provenance == features.join(scores).provenance


def test_tokenised_once_with_one_tokenizer(tmp_path):
    first, second = small(), large()
    extract_both(first, second, TASK, tmp_path / "a", template=CLOZE, trainer=CPU)
    assert (first.encoded, second.encoded) == (12, 0)
    other = small(tiny.tokenizer(bos=False))
    second = large()
    extract_both(other, second, TASK, tmp_path / "b", template=CLOZE, trainer=CPU)
    assert (other.encoded, second.encoded) == (12, 12)


def test_a_template_of_its_own(tmp_path):
    shown = Template("cloze", show_options=True)
    first, second = small(), large()
    table = extract_both(
        first, second, TASK, tmp_path, template=CLOZE, small_template=shown, trainer=CPU
    )
    assert (first.encoded, second.encoded) == (12, 12)
    assert table.provenance["features"]["template_digest"] == shown.digest
    assert table.provenance["scores"]["template_digest"] == CLOZE.digest


def test_the_shorter_context_is_heeded(tmp_path):
    """Also where the tokens are those of the other model."""
    long = Task("t", (Question("long", "Which? " * 200, ("a", "b")), *TASK.questions))
    first = LanguageModel(tiny.model("mamba"), tiny.tokenizer(), name="no limit")
    with pytest.raises(ValueError, match=r"at most 512 tokens long .* question long"):
        extract_both(first, large(), long, tmp_path, template=CLOZE, trainer=CPU)


def test_one_pass_where_both_are_the_same(tmp_path):
    lm = large()
    table = extract_both(lm, lm, TASK, tmp_path, template=CLOZE, trainer=CPU)
    assert lm.encoded == lm.work.prompts == 12
    assert table.features is not None
    assert table.scores is not None
    assert [path.name for path in tmp_path.iterdir()] == ["outputs"]


def test_costs_are_those_of_the_tables(made):
    folder, *_ = made
    costs = json.loads((folder / "summary.json").read_text())
    own = {
        name: json.loads((folder / name / "summary.json").read_text())
        for name in costs
        if name != "features_share"
    }
    assert costs == {**own, "features_share": costs["features_share"]}
    f, s = (own[name]["operations"] for name in ("features", "scores"))
    assert costs["features_share"]["operations"] == pytest.approx(f / (f + s), abs=1e-4)
    assert 0 < costs["features_share"]["operations"] < 1
    assert own["scores"]["prompts"] == own["features"]["prompts"] == 12


def test_no_costs_without_both_summaries(tmp_path):
    assert report_costs(tmp_path) is None
    assert not list(tmp_path.iterdir())


def test_it_resumes_and_costs_nothing_the_second_time(made):
    folder, table, first, second = made
    before = first.work, second.work
    again = extract_both(first, second, TASK, folder, template=CLOZE, trainer=CPU)
    assert (first.work, second.work) == before
    np.testing.assert_array_equal(again.scores, table.scores)
