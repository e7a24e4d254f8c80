"""Weights that are spread over two processes give what they give in one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from thermometer import LanguageModel, OutputTable, Template, load_task

HERE = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_two_processes_share_the_weights_of_one_model(llama_folder, tmp_path):
    script = HERE / "tensor_parallel_script.py"
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    command += ["--standalone", str(script), llama_folder, str(tmp_path)]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    lm = LanguageModel.from_pretrained(llama_folder, dtype="float32")
    template = Template("cloze", show_options=True)
    prompts = template.render_task(load_task("builtin:comparison", limit=8, names=["*/larger"]))
    alone = lm.outputs(prompts, template)
    for rank in range(2):
        with np.load(tmp_path / f"{rank}.npz") as found:
            assert found["spread"]
            assert found["fingerprint"] == lm.fingerprint
            np.testing.assert_allclose(found["scores"], alone.scores, atol=1e-4)
            np.testing.assert_allclose(found["features"], alone.features, atol=1e-4)
    table = OutputTable.open(tmp_path / "table")  # 8 parts, which both processes wrote
    np.testing.assert_allclose(table.scores, alone.scores, atol=1e-4)
    np.testing.assert_allclose(table.features, alone.features, atol=1e-4)
    assert table.provenance["scores"] == lm.provenance(template)
