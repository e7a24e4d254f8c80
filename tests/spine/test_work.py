"""Counts of work against counting by hand and the profiler's operations."""

import numpy as np
import pytest
import tiny
from torch.utils.flop_counter import FlopCounterMode

from thermometer.forward import ModelSize, Summary, Work
from thermometer.language_model import LanguageModel
from thermometer.templates import Prompt, Template
from thermometer.tokenization import TokenTree


def one_tree(lm, tree, **wanted):
    before = lm.work
    lm.compute([tree], **wanted)
    return lm.work - before


def test_counts_of_one_tree_by_hand(lm):
    """Five tokens, then branches of two and three, of which the last token is never read."""
    tree = TokenTree("q", (5, 6, 7, 8, 9), ((10, 11), (12, 13, 14), (15,)))
    pairs = (1 + 2 + 3 + 4 + 5) + 6 + (6 + 7)
    assert one_tree(lm, tree) == Work(1, 8, 8, 0, pairs, 1 + 1 + 2)
    assert one_tree(lm, tree, scores=False) == Work(1, 5, 5, 0, 15, 0)


def test_operations_are_those_that_torch_counts():
    """Without padding; the embedding is looked up, not multiplied."""
    model = tiny.model("llama")
    model.set_attn_implementation("eager")  # the counter does not know the fused one of a CPU
    lm = LanguageModel(model, tiny.tokenizer(), name="eager")
    tree = TokenTree("q", tuple(range(5, 65)), ((70,), (71,)))
    with FlopCounterMode(display=False) as counter:
        work = one_tree(lm, tree)
    norms = sum(p.numel() for name, p in lm.model.named_parameters() if "norm" in name)
    # torch counts the whole square of attention, we only what a token may see.
    square = lm.size.attention * 4 * (60 * 60 - work.pairs)
    expected = lm.size.operations(work) - 2 * norms * work.tokens + square
    assert counter.get_total_flops() == pytest.approx(expected, rel=0.02)


def test_size_of_models():
    model = tiny.model("llama")
    size = ModelSize.of(model)
    every = sum(p.numel() for p in model.parameters())
    assert size.head == len(tiny.tokenizer()) * 32
    assert size.blocks == every - 2 * size.head
    assert size.attention == 3 * 4 * 8
    tied = tiny.model("gpt2")
    assert ModelSize.of(tied).blocks == sum(p.numel() for p in tied.parameters()) - size.head


def test_shares():
    work = Work(prompts=2, input_tokens=100, tokens=60, padding=20)
    assert work.reused == pytest.approx(0.4)
    assert work.padded == pytest.approx(0.25)
    assert Work().reused == Work().padded == 0
    assert Work(input_tokens=10, tokens=30).reused == 0  # rows of their own repeat the prompt


def test_summary_and_its_line():
    summary = Summary(Work(10, 1000, 500, 50), 2.0, 3e12, ("NVIDIA A100-SXM4-80GB", "cpu"))
    assert summary.tokens_per_second == 500
    assert Summary(Work(), 0.0, 0.0).tokens_per_second == 0
    assert str(summary).startswith("10 prompts, 1,000 tokens, 50% of them from shared prefixes, ")
    assert str(summary).endswith("500 tokens/s, 3 TFLOP")
    assert summary.to_dict()["devices"] == ["NVIDIA A100-SXM4-80GB", "cpu"]


def test_padding_is_counted(lm):
    before = lm.work
    texts = ["Which is it?", "What is the capital of Italy?"]
    lm.outputs([Prompt(t, t, (" A", " B")) for t in texts], Template(), features=False)
    work = lm.work - before
    lengths = [len(tiny.tokenizer()(t)["input_ids"]) for t in texts]
    assert work.tokens == sum(lengths)
    assert work.padding == 2 * max(lengths) - sum(lengths)
    assert np.isclose(work.padded, work.padding / (2 * max(lengths)))
