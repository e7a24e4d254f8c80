"""Reading with a frozen model: its states once, its own logits in chunks, or a clear refusal."""

import numpy as np
import pytest
import tiny
import torch

from thermometer.ats.data import TokenReader
from thermometer.language_model import LanguageModel


def test_hidden_states_are_read_once_where_there_is_room(lm):
    calls = []
    handle = lm.model.model.register_forward_hook(lambda *_: calls.append(1))
    try:
        reader, rows = (
            TokenReader(lm, cache_bytes=2 * 3 * 32 * 4),
            [(1, 9, 7), (1, 8, 6), (1, 5, 5)],
        )
        calls.clear()
        first = reader.prompts(rows)
        assert len(calls) == 1
        assert torch.equal(first.hidden[:2], reader.prompts(rows[:2]).hidden)
        assert len(calls) == 1
        np.testing.assert_allclose(first.hidden[2:], reader.prompts(rows[2:]).hidden, atol=1e-5)
        assert len(calls) == 2
    finally:
        handle.remove()


@pytest.mark.parametrize("kind", ["gemma2", "cohere", "granite", "gpt2", "bloom"])
def test_logits_in_chunks_are_the_models_own(kind, monkeypatch):
    monkeypatch.setattr("thermometer.forward.HEAD_ELEMENTS", 100)
    lm = LanguageModel(tiny.model(kind), tiny.tokenizer(), name=kind)
    reader = TokenReader(lm)
    reading = reader.prompts([(1, 30, 40, 50), (1, 60)])
    chunks = list(reader.logits(reading))
    assert len(chunks) > 3
    with torch.no_grad():
        own = lm.model(torch.tensor([[1, 30, 40, 50]])).logits[0, -1]
    np.testing.assert_allclose(torch.cat(chunks, dim=1)[0], own, atol=1e-3)


def test_models_that_cannot_be_read_are_refused(lm):
    with pytest.raises(ValueError, match="a causal language model"):
        TokenReader(LanguageModel(tiny.model("t5"), tiny.tokenizer(eos=True), name="t5"))
    cut = LanguageModel(tiny.model("llama"), tiny.tokenizer(), name="cut", num_layers=2)
    with pytest.raises(ValueError, match="cut to its first layers"):
        TokenReader(cut)
    strange = tiny.model("llama")
    strange.lm_head.register_forward_hook(lambda _m, _i, out: out + out.square())
    wrapped = LanguageModel.__new__(LanguageModel)
    wrapped.__dict__.update(lm.__dict__, model=strange, name="strange")
    with pytest.raises(ValueError, match="plain output head"):
        TokenReader(wrapped)
