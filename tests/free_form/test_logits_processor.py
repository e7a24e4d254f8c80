"""Generation at calibrated temperatures: what is sampled, what beams find, what is refused."""

import numpy as np
import pytest
import tiny
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from transformers import ContinuousBatchingConfig, GenerationConfig

from thermometer.generation import TemperatureLogitsProcessor
from thermometer.scaling import scale_scores

PROMPTS = ["What is the capital of France?", "Which is larger", "A B C"]
HOT = [0.5, 1.0, 6.0]


@pytest.fixture(scope="module")
def model():
    model = tiny.model("llama")
    model.generation_config.top_k = 0
    model.generation_config.pad_token_id = 0
    model.generation_config.eos_token_id = None
    return model


@pytest.fixture(scope="module")
def inputs(tokenizer):
    tokenizer.padding_side = "left"
    yield dict(tokenizer(PROMPTS, return_tensors="pt", padding=True))
    tokenizer.padding_side = "right"


@pytest.fixture(scope="module")
def logits(model, tokenizer):
    """(3, V) next-token scores of each prompt alone, without padding."""
    with torch.inference_mode():
        rows = [model(**tokenizer(p, return_tensors="pt")).logits[0, -1] for p in PROMPTS]
    return torch.stack(rows).double().numpy()


def assert_follows(tokens, probs):
    """Chi-square over groups of tokens, likely ones together; p above 1e-4 at a fixed seed."""
    order = np.argsort(-probs)
    group = np.empty(len(probs), dtype=np.int64)
    group[order] = 20 * (np.cumsum(probs[order]) - probs[order])  # each about 1/20, or one token
    expected = np.bincount(group, probs, minlength=20) * len(tokens)
    observed = np.bincount(group[tokens], minlength=20)
    rare = expected < 5
    assert observed[rare].sum() <= 5 + 3 * expected[rare].sum()
    share = expected[~rare] * observed[~rare].sum() / expected[~rare].sum()
    assert len(share) > 3
    assert chisquare(observed[~rare], share).pvalue > 1e-4


def test_sampled_tokens_follow_the_calibrated_distribution_of_their_own_prompt(
    model, inputs, logits
):
    n = 4000
    torch.manual_seed(0)
    tokens = model.generate(
        **inputs,
        logits_processor=[TemperatureLogitsProcessor(HOT)],
        do_sample=True,
        num_return_sequences=n,
        max_new_tokens=1,
    )[:, -1].numpy()
    for row, probs in enumerate(scale_scores(logits, HOT)):
        assert_follows(tokens[row * n : (row + 1) * n], probs)
    with pytest.raises(AssertionError):  # the test tells temperatures apart
        assert_follows(tokens[:n], scale_scores(logits, 1.0)[0])


def test_continuous_batching_has_temperatures_of_its_own(model, tokenizer, logits):
    """What docs/generation.md says to do there."""
    n = 600
    settings_ = ContinuousBatchingConfig(
        per_request_processors=True, num_blocks=64, page_size=16, max_batch_tokens=256, seed=0
    )
    chosen = GenerationConfig(do_sample=True, temperature=2.0, top_k=0, eos_token_id=-1)
    with model.continuous_batching_context_manager(
        generation_config=chosen, continuous_batching_config=settings_, warmup=False
    ) as manager:
        for row in (1, 2):
            ids = tokenizer(PROMPTS[row])["input_ids"]
            for i in range(n):
                manager.add_request(
                    ids, request_id=f"{row}/{i}", temperature=HOT[row], max_new_tokens=1
                )
        results = [manager.get_result(timeout=60) for _ in range(2 * n)]
    for row in (1, 2):
        own = [r.generated_tokens[0] for r in results if r.request_id.startswith(f"{row}/")]
        assert_follows(np.array(own), scale_scores(logits, HOT)[row])


def test_beams_are_those_of_a_search_over_calibrated_probabilities(model, inputs, tokenizer):
    out = model.generate(
        **inputs,
        logits_processor=[TemperatureLogitsProcessor(HOT)],
        do_sample=False,
        num_beams=3,
        num_return_sequences=2,
        max_new_tokens=3,
        length_penalty=0.0,
        return_dict_in_generate=True,
        output_scores=True,
    )
    texts = out.sequences[:, -3:].tolist()
    for row, (prompt, temperature) in enumerate(zip(PROMPTS, HOT, strict=True)):
        expected = beam_search(model, tokenizer(prompt)["input_ids"], temperature, 3, 3)[:2]
        assert texts[2 * row : 2 * row + 2] == [list(tokens) for tokens, _ in expected]
        scores = out.sequences_scores[2 * row : 2 * row + 2].tolist()
        assert scores == pytest.approx([score for _, score in expected], abs=1e-3)


@torch.inference_mode()
def beam_search(model, prompt, temperature, beams, steps):
    """Plain and slow: every continuation of every beam, the best kept, in float64."""
    found = [((), 0.0)]
    for _ in range(steps):
        longer = []
        for tokens, score in found:
            ids = torch.tensor([[*prompt, *tokens]])
            logprobs = (model(ids).logits[0, -1].double() / temperature).log_softmax(0)
            longer += [((*tokens, i), score + p) for i, p in enumerate(logprobs.tolist())]
        found = sorted(longer, key=lambda item: -item[1])[:beams]
    return found


def test_greedy_text_stays_the_same(model, inputs):
    arguments = {**inputs, "do_sample": False, "max_new_tokens": 8}
    plain = model.generate(**arguments)
    cooled = model.generate(**arguments, logits_processor=[TemperatureLogitsProcessor(HOT)])
    assert torch.equal(plain, cooled)


def test_scores_of_every_step_are_calibrated_probabilities(model, inputs):
    out = model.generate(
        **inputs,
        logits_processor=[TemperatureLogitsProcessor(HOT)],
        do_sample=False,
        max_new_tokens=4,
        output_scores=True,
        output_logits=True,
        return_dict_in_generate=True,
    )
    for scores, raw in zip(out.scores, out.logits, strict=True):
        np.testing.assert_allclose(scores.exp(), scale_scores(raw.double(), HOT), atol=1e-6)


def test_it_stands_before_top_k_and_top_p(model, inputs, logits):
    """At 6.0 the third prompt needs many tokens for half of its probability, at 1.0 few."""
    out = model.generate(
        **inputs,
        logits_processor=[TemperatureLogitsProcessor(HOT)],
        do_sample=True,
        top_p=0.5,
        max_new_tokens=1,
        output_scores=True,
        return_dict_in_generate=True,
    )
    kept = torch.isfinite(out.scores[0]).sum(dim=1).tolist()
    sizes = {}
    for temperature in (1.0, 6.0):
        falling = np.sort(scale_scores(logits, temperature)[2])[::-1]
        sizes[temperature] = int((np.cumsum(falling) < 0.5).sum()) + 1
    assert kept[2] == sizes[6.0] > sizes[1.0]


def test_a_pipeline_takes_it(model, tokenizer):
    tokenizer.padding_side = "left"
    pipe = transformers.pipeline("text-generation", model=model, tokenizer=tokenizer)
    processor = TemperatureLogitsProcessor(HOT)
    torch.manual_seed(0)
    answers = pipe(
        PROMPTS,
        batch_size=3,
        logits_processor=[processor],
        do_sample=True,
        num_return_sequences=2,
        max_new_tokens=3,
        return_tensors=True,
    )
    assert [len(group) for group in answers] == [2, 2, 2]
    with pytest.raises(ValueError, match="3 temperatures for 1 rows"):  # one prompt at a time
        pipe(PROMPTS, logits_processor=[processor], max_new_tokens=1)
    tokenizer.padding_side = "right"


def test_an_encoder_decoder_takes_it():
    model = tiny.model("t5")
    ids = torch.tensor([[5, 6, 7], [8, 9, 10]])
    out = model.generate(
        ids,
        logits_processor=[TemperatureLogitsProcessor([0.5, 2.0])],
        num_beams=2,
        max_new_tokens=3,
        do_sample=False,
    )
    assert len(out) == 2


def test_prompt_lookup_takes_it(model, tokenizer):
    ids = tokenizer("A B C A B C A B", return_tensors="pt")
    arguments = {**ids, "do_sample": False, "max_new_tokens": 8}
    looked_up = model.generate(
        **arguments,
        logits_processor=[TemperatureLogitsProcessor([3.0])],
        prompt_lookup_num_tokens=3,
    )
    assert torch.equal(looked_up, model.generate(**arguments))


def test_more_prompts_than_temperatures_are_refused(model, inputs):
    processor = TemperatureLogitsProcessor(1.0)
    assert len(model.generate(**inputs, logits_processor=[processor], max_new_tokens=1)) == 3
    processor = TemperatureLogitsProcessor([1.0])
    for _ in range(2):  # also at its second use
        with pytest.raises(ValueError, match="1 temperatures for 3 rows of more prompts"):
            model.generate(**inputs, logits_processor=[processor], max_new_tokens=2)
    processor = TemperatureLogitsProcessor([1.0, 2.0])
    with pytest.raises(ValueError, match=r"`temperatures` to be one for each .* 2 .* for 3 rows"):
        model.generate(**inputs, logits_processor=[processor], max_new_tokens=1)


def test_one_processor_serves_one_batch_after_another(model, tokenizer):
    processor = TemperatureLogitsProcessor([0.5])
    for prompt in PROMPTS:
        ids = tokenizer(prompt, return_tensors="pt")
        out = model.generate(
            **ids,
            logits_processor=[processor],
            do_sample=True,
            num_return_sequences=3,
            max_new_tokens=4,
        )
        assert out.shape == (3, ids["input_ids"].shape[1] + 4)


def test_rows_of_continuous_batching_are_refused():
    processor = TemperatureLogitsProcessor([1.0, 2.0])
    with pytest.raises(ValueError, match="pass `temperature` to each request"):
        processor(torch.zeros(4, dtype=torch.int64), torch.zeros(4, 9))


@pytest.mark.parametrize(
    ("temperatures", "message"),
    [
        (0.0, "finite and > 0, but got 0.0"),
        ([1.0, -1.0], "-1.0 at row 1"),
        ([1.0, float("nan")], "nan at row 1"),
        ([1e300], "1e\\+300 at row 0"),
        ([1e-60], "1e-60 at row 0"),
        ([], r"shape \(0,\)"),
        ([[1.0]], r"shape \(1, 1\)"),
    ],
)
def test_temperatures_that_are_refused(temperatures, message):
    with pytest.raises(ValueError, match=f"`temperatures` to be .*{message}"):
        TemperatureLogitsProcessor(temperatures)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.lists(st.integers(-300, 300).map(lambda n: n / 8), min_size=4, max_size=4),
        min_size=1,
        max_size=3,
    ),
    masked=st.integers(0, 3),
    temperature=st.floats(1e-30, 1e30),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
)
def test_any_scores_at_any_temperature(rows, masked, temperature, dtype):
    scores = torch.tensor(rows).to(dtype)
    scores[:, masked] = -torch.inf
    before = scores.clone()
    out = TemperatureLogitsProcessor(torch.tensor([temperature] * len(rows)))(
        torch.zeros(len(rows), 1, dtype=torch.int64), scores
    )
    assert torch.equal(scores, before)
    assert out.dtype == torch.float32
    assert torch.isneginf(out[:, masked]).all()
    assert torch.allclose(out.exp().sum(dim=1), torch.ones(len(rows)), atol=1e-5)
    best = out.gather(1, scores.float().argmax(dim=1, keepdim=True))
    assert (best == out.amax(dim=1, keepdim=True)).all()
    expected = scale_scores(scores.double().roll(-masked - 1, dims=1), temperature)
    np.testing.assert_allclose(out.exp().roll(-masked - 1, dims=1), expected, atol=1e-5)
