"""A server of llama.cpp, live, against the transformers engine on the same weights.

llama.cpp rounds activations to 8 bits where it multiplies quantised weights, transformers
dequantises the weights and rounds nothing: the two differ by what that costs.
"""

import importlib.util
import runpy
from pathlib import Path

import llama_server
import numpy as np
import pytest

import thermometer as th
from thermometer.adapters.api_logprobs import continuation_scores, option_probabilities

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("llama_cpp") is None,
        reason="needs a compiler: pip install 'llama-cpp-python[server]==0.3.36'",
    ),
]
TEMPLATE = th.Template("letter", chat=True)


@pytest.fixture(scope="module")
def server():
    with llama_server.serving(llama_server.gguf()) as address:
        yield address


@pytest.fixture(scope="module")
def lm():
    return th.LanguageModel.from_pretrained("bundled:smollm2", dtype="float32")


def test_option_probabilities_are_those_of_the_engine(server, lm):
    """Twelve questions of two tasks; with no rule of spelling, since the engine has none either."""
    tasks = th.load_tasks("builtin:capitals", limit=6)[:2]
    prompts = [prompt for task in tasks for prompt in TEMPLATE.render_task(task)]
    ours = th.scale_scores(lm.outputs(prompts, TEMPLATE, features=False).scores, 1.0)
    responses = [
        llama_server.post(
            f"{server}/v1/chat/completions",
            llama_server.chat(prompt.text, max_tokens=1, logprobs=True, top_logprobs=100),
        )
        for prompt in prompts
    ]
    options = [prompt.options for prompt in prompts]
    theirs = option_probabilities(responses, options, merge="exact")
    off = np.abs(theirs.probs - ours)
    print(f"probabilities differ by {off.mean():.4f} on average, {off.max():.4f} at most")
    assert off.max() < 0.08
    assert off.mean() < 0.02
    assert np.corrcoef(theirs.probs.ravel(), ours.ravel())[0, 1] > 0.95


def test_echoed_options_are_scored_as_by_the_engine(server, lm):
    prompt = llama_server.raw(llama_server.PLACES)["prompt"]
    echoes = [
        llama_server.post(f"{server}/v1/completions", llama_server.echoed(prompt + place))
        for place in llama_server.COUNTRIES
    ]
    theirs = continuation_scores([echoes], [prompt], llama_server.COUNTRIES)
    cloze = th.templates.Prompt("q", prompt, llama_server.COUNTRIES)
    ours = lm.outputs([cloze], th.Template("cloze"), features=False).scores
    print(f"log-likelihoods differ by {np.abs(theirs - ours).max():.3f} at most")
    np.testing.assert_allclose(theirs, ours, atol=0.4)


def test_the_example_asks_by_the_official_client(server, capsys):
    """The recorded answer was given by such a server, so that the numbers are the same."""
    pytest.importorskip("openai", reason="the official client is not installed")
    example = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "openai_api.py"))
    example["main"]()
    recorded = capsys.readouterr().out
    example["main"](server=f"{server}/v1", model="smollm2")
    asked = capsys.readouterr().out
    assert asked.replace("asked:", "recorded answer of SmolLM2:") == recorded
