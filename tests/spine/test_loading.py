"""Models by the name of a hub: which commit they are of is known, and a later run finds its tables.

The hub is a cache folder as `huggingface_hub` lays it out; no network is needed to read it.
"""

import pytest
import tiny

from thermometer import Experiment, LanguageModel, Template
from thermometer.experiment import ModelSpec
from thermometer.tasks import TaskSource

COMMIT, OTHER = "0123456789abcdef" * 2 + "01234567", "f" * 40
NAME = "somebody/tiny-llama"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A repository with two commits, of which `main` is the first and `v2` the second."""
    folder = tmp_path / "hub" / f"models--{NAME.replace('/', '--')}"
    for name, commit, seed in (("main", COMMIT, 0), ("v2", OTHER, 1)):
        tiny.save("llama", folder / "snapshots" / commit, seed)
        (folder / "refs").mkdir(exist_ok=True)
        (folder / "refs" / name).write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return folder


def test_the_commit_of_a_hub_id_is_recorded(hub, llama_folder):
    template = Template()
    assert LanguageModel.from_pretrained(NAME).provenance(template)["revision"] == COMMIT
    lm = LanguageModel.from_pretrained(NAME, revision="v2")
    assert lm.provenance(template)["revision"] == OTHER
    again = LanguageModel.from_pretrained(NAME, revision=OTHER)
    assert again.provenance(template) == lm.provenance(template)
    assert LanguageModel.from_pretrained(llama_folder).revision is None


def test_a_later_run_finds_the_tables_of_a_hub_model(hub, tmp_path):
    def extract(revision):
        spec = ModelSpec(NAME, revision=revision, dtype="float32")
        source = TaskSource("builtin:comparison", limit=4)
        quiet = {"accelerator": "cpu", "enable_progress_bar": False}
        out = str(tmp_path / "out")
        return Experiment(
            out, source, large=spec, small=spec, template=Template("cloze"), trainer=quiet
        ).extract()

    made = extract(None)
    assert made.provenance["scores"]["revision"] == COMMIT
    (hub / "refs" / "main").write_text(OTHER)  # the hub has moved on, the table stays
    for revision in (None, COMMIT):
        assert extract(revision).digest == made.digest
    for revision in ("main", "v2", OTHER):
        with pytest.raises(ValueError, match="with other revision than the experiment asks for"):
            extract(revision)
