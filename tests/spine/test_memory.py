"""Budgets from memory, and work that goes on when there is too little of it."""

import numpy as np
import pytest
import tiny
import torch

from thermometer import language_model
from thermometer.language_model import LanguageModel
from thermometer.templates import Prompt, Template

CLOZE = Template("cloze")
TEXTS = ["Which is it?", "What is the capital of Italy?", "The answer is", "Is it? " * 9]
PROMPTS = [Prompt(f"q{i}", TEXTS[i % 4] + " yes" * i, (" a b", " c", " d e f")) for i in range(14)]


class Allocator:
    """Refuses a model more than so many tokens at once, as a small device would."""

    def __init__(self, model, most, error=torch.OutOfMemoryError):
        self.seen, self.most, self.error = [], most, error
        model.model.embed_tokens.register_forward_pre_hook(self)

    def __call__(self, module, inputs):
        self.seen.append(inputs[0].numel())
        if inputs[0].numel() > self.most:
            raise self.error("CUDA out of memory. Tried to allocate 20.00 GiB")


def limited(most, **options):
    lm = LanguageModel(tiny.model("llama"), tiny.tokenizer(), name="limited")
    return lm, Allocator(lm.model, most, **options)


def test_work_is_halved_until_it_fits(lm):
    expected = lm.with_token_budget(10**6).outputs(PROMPTS, CLOZE)
    small, allocator = limited(150)
    outputs = small.with_token_budget(10**6).outputs(PROMPTS, CLOZE)
    np.testing.assert_allclose(outputs.scores, expected.scores, atol=1e-5)
    np.testing.assert_allclose(outputs.features, expected.features, atol=1e-5)
    np.testing.assert_allclose(outputs.option_mass, expected.option_mass, atol=1e-5)
    assert max(allocator.seen) > 150


def test_what_did_not_fit_once_is_not_tried_again():
    small, allocator = limited(150)
    small.with_token_budget(10**6).outputs(PROMPTS, CLOZE)
    failed = sum(n > 150 for n in allocator.seen)
    small.with_token_budget(10**6).outputs(PROMPTS, CLOZE)
    assert 0 < sum(n > 150 for n in allocator.seen) < 2 * failed


def test_a_question_that_does_not_fit_alone_is_named():
    small, _ = limited(20)
    with pytest.raises(MemoryError, match=r"on cpu for the \d+ tokens of question q\d+ alone"):
        small.outputs(PROMPTS, CLOZE)


def test_a_question_is_read_alone_where_the_shared_prefixes_do_not_fit(lm):
    """Prefixes of two lengths are computed together, and are larger than either prompt."""
    texts = [words * 25 + f"{n}" for words in ("yes no ", "one two ") for n in range(6)]
    prompts = [Prompt(text, text, (" a b", " c")) for text in texts]
    trees = lm.encode(prompts, CLOZE)
    units = lm.plan(trees, scores=True)
    together = sum(size for _, size in units[0].prefixes)
    longest = max(tree.n_tokens for tree in trees)
    assert len(units[0].prefixes) == 2
    assert longest < together
    small, _ = limited(longest)
    outputs = small.outputs(prompts, CLOZE)
    np.testing.assert_allclose(outputs.scores, lm.outputs(prompts, CLOZE).scores, atol=1e-5)


def test_other_errors_are_not_mistaken_for_it():
    small, _ = limited(0, error=lambda _: RuntimeError("expected all tensors on one device"))
    with pytest.raises(RuntimeError, match="one device"):
        small.outputs(PROMPTS, CLOZE)


def test_the_refusal_of_this_machine_is_recognised():
    with pytest.raises(RuntimeError) as found:
        torch.empty(1 << 52)
    assert language_model.ran_out(found.value)
    assert language_model.ran_out(MemoryError())
    assert language_model.ran_out(torch.OutOfMemoryError("CUDA out of memory"))
    assert not language_model.ran_out(RuntimeError("shape mismatch"))
    assert not language_model.ran_out(ValueError("out of memory"))


def test_budget_by_its_formula():
    model = tiny.model("llama")  # 32 wide, 48 inside, float32
    weights = sum(p.numel() * 4 for p in model.parameters())
    bytes_of_a_token = 4 * (12 * 32 + 4 * 48)
    gpu = torch.device("cuda")
    for total in (5e7, 1e8, 1e9):
        found = language_model.suitable_token_budget(model, gpu, int(total))
        fitting = language_model.SHARE * (total - weights) / bytes_of_a_token
        assert found == language_model.MOST or fitting / 2 < found <= fitting
        assert found & (found - 1) == 0
    assert language_model.suitable_token_budget(model, gpu, 1 << 40) == language_model.MOST
    assert language_model.suitable_token_budget(model, gpu, 0) == language_model.LEAST
    assert (
        language_model.suitable_token_budget(model, torch.device("cpu"), 1 << 40)
        == language_model.MOST_ON_CPU
    )


def test_memory_of_this_machine():
    assert language_model.total_memory(torch.device("cpu")) > 1 << 28
