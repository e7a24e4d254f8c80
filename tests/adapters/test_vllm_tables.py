"""What is asked of vLLM and what its responses become; the responses have its documented fields.

They are computed by a tiny model of transformers, in the way vLLM documents them. Inside vLLM
nothing of this was run: that needs a GPU.
"""

import json
import math
import runpy
import warnings
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from extraction_script import task

from thermometer.adapters import vllm
from thermometer.adapters.tables import merge, write_table
from thermometer.calibrator import check_same_origin
from thermometer.extraction import extract
from thermometer.tables import OutputTable
from thermometer.templates import Template
from thermometer.tokenization import TokenTree, encode_prompts

ROOT = Path(__file__).parents[2]
LETTERS = Template()
TREE = TokenTree("q", (1, 5, 6), ((7,), (8,)), (9,))


def response(**logprobs):
    """A RequestOutput with the log-probabilities of one generated token."""
    found = {int(token[1:]): SimpleNamespace(logprob=value) for token, value in logprobs.items()}
    return SimpleNamespace(outputs=[SimpleNamespace(logprobs=[found])])


class Answers:
    """Answers requests as vLLM's engine documents them: raw log-probabilities in float32."""

    def __init__(self, model):
        self.model = model

    @torch.inference_mode()
    def _run(self, prompt):
        ids = torch.tensor([prompt["prompt_token_ids"]])
        return self.model(ids, output_hidden_states=True)

    def generate(self, prompts, params):
        outputs = []
        for prompt, asked in zip(prompts, params, strict=True):
            logprobs = self._run(prompt).logits[0, -1].float().log_softmax(0)
            tokens = {int(logprobs.argmax()), *asked["logprob_token_ids"]}
            found = {f"t{token}": float(logprobs[token]) for token in tokens}
            outputs.append(response(**found))
        return outputs

    def encode(self, prompts):
        states = [self._run(prompt).hidden_states[-1][0, -1] for prompt in prompts]
        return [SimpleNamespace(outputs=SimpleNamespace(data=s.bfloat16())) for s in states]


def test_both_tables_merged_are_the_table_of_extract(lm, tmp_path):
    engine, questions = Answers(lm.model), task("a", 12)
    trees = encode_prompts(lm.tokenizer, LETTERS.render_task(questions))
    scored = engine.generate(map(vllm.score_prompt, trees), map(vllm.score_params, trees))
    pooled = engine.encode(map(vllm.feature_prompt, trees))
    made_by = vllm.provenance("tiny-llama", LETTERS, dtype="float32")
    for name, outputs in (("scores", {"scored": scored}), ("features", {"pooled": pooled})):
        batch = vllm.batch_of(questions, trees, **outputs)
        write_table([batch], tmp_path / name, provenance={name: made_by})
    folder = merge([tmp_path / "features", tmp_path / "scores"], tmp_path / "both").folder
    found = OutputTable.open(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the letters are improbable
        expected = extract(
            lm, questions, tmp_path / "t", trainer={"accelerator": "cpu", "enable_progress_bar": 0}
        )
    assert found.ids == expected.ids
    assert found.digest == expected.digest
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4)
    np.testing.assert_allclose(found.option_mass, expected.option_mass, atol=1e-5)
    np.testing.assert_allclose(found.features, expected.features, rtol=1e-2, atol=1e-2)  # bfloat16
    check_same_origin("features", expected.provenance["features"], found.provenance["features"])


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed")
def test_the_example_needs_vllm_only_when_it_runs():
    example = runpy.run_path(str(ROOT / "examples" / "vllm_extract.py"))
    with pytest.raises(ImportError, match="vllm"):
        next(example["batches"](None, LETTERS))


def test_requests():
    assert vllm.score_prompt(TREE) == {"prompt_token_ids": [1, 5, 6]}
    assert vllm.feature_prompt(TREE) == {"prompt_token_ids": [1, 5, 6, 9]}
    assert vllm.score_params(TREE) == {
        "max_tokens": 1,
        "temperature": 0.0,
        "logprob_token_ids": [7, 8],
        "detokenize": False,
    }


@pytest.mark.parametrize(
    ("branches", "message"),
    [
        ((), "1 to 128, but got 0 in question q"),
        (tuple((i,) for i in range(129)), "1 to 128, but got 129"),
        (((7,), (8, 9)), r"single tokens \(use the letter style\), but got others in q"),
    ],
)
def test_questions_that_cannot_be_asked(branches, message):
    with pytest.raises(ValueError, match=message):
        vllm.score_params(TokenTree("q", (1,), branches))


def test_scores_are_those_of_the_options_whichever_token_was_sampled():
    assert vllm.option_scores(TREE, response(t3=-0.1, t8=-4.0, t7=-3.0)) == [-3.0, -4.0]
    assert vllm.option_scores(TREE, response(t8=-4.0, t7=0.0)) == [0.0, -4.0]


def test_responses_as_dicts_and_as_json():
    listed = {"8": {"logprob": -4.0, "rank": 2}, "7": {"logprob": -3.0}, "3": {"logprob": -0.1}}
    fields = {"outputs": [{"token_ids": [3], "logprobs": [listed]}]}
    for output in (fields, json.dumps(fields)):
        assert vllm.option_scores(TREE, output) == [-3.0, -4.0]


@pytest.mark.parametrize("both", [0.0, -0.1, math.log(0.6)])
def test_log_probabilities_of_no_distribution_are_refused(both):
    with pytest.raises(ValueError, match=r"at most 1, but got .* for question q"):
        vllm.option_scores(TREE, response(t7=both, t8=both))


@pytest.mark.parametrize(
    ("output", "got"),
    [
        (response(t7=-1.0), "None"),
        (response(t7=-1.0, t8=-math.inf), "-inf"),
        (response(t7=-1.0, t8=math.nan), "nan"),
        (response(t7=-1.0, t8=12.5), "12.5"),
        (SimpleNamespace(outputs=[]), "None"),
        (SimpleNamespace(outputs=[SimpleNamespace(logprobs=None)]), "None"),
    ],
)
def test_responses_that_are_refused(output, got):
    with pytest.raises(ValueError, match=rf"of question q \(token [78]\), but got {got}; .*raw"):
        vllm.option_scores(TREE, output)
