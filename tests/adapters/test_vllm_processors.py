"""The classes for vLLM against its documented interfaces (0.33.0), which need no vLLM to follow.

The updates and contexts here have the fields that vLLM's `BatchUpdate`, `LogitsContext` and
`LogitsProcRequestState` have. Inside vLLM nothing of this was run: that needs a GPU.
"""

import random
from enum import Enum, auto
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from thermometer.adapters.vllm import ARGUMENT, TemperatureV1, TemperatureV2

CPU = torch.device("cpu")


class Direction(Enum):
    """As vLLM's MoveDirectionality."""

    UNIDIRECTIONAL = auto()
    SWAP = auto()


def params(temperature=None):
    return SimpleNamespace(extra_args=None if temperature is None else {ARGUMENT: temperature})


def update(size, removed=(), added=(), moved=()):
    new = [(row, params(t), None, []) for row, t in added]
    return SimpleNamespace(batch_size=size, removed=removed, added=new, moved=moved)


def divided(rows):
    """What each row of ones is divided by; a row more than the batch shows that none is missed."""
    return [round(1 / value, 4) for value in rows[:, 0].tolist()]


def test_rows_follow_their_requests_in_the_first_runner():
    processor = TemperatureV1(None, CPU, False)
    ones = torch.ones(4, 3)
    assert torch.equal(processor.apply(ones.clone()), ones)
    processor.update_state(update(3, added=[(0, 2.0), (1, None), (2, 4.0)]))
    assert divided(processor.apply(ones.clone())) == [2.0, 1.0, 4.0, 1.0]
    processor.update_state(None)
    processor.update_state(update(3, moved=[(0, 1, Direction.SWAP)]))
    assert divided(processor.apply(ones.clone())) == [1.0, 2.0, 4.0, 1.0]
    processor.update_state(update(2, removed=[0], moved=[(2, 0, Direction.UNIDIRECTIONAL)]))
    assert divided(processor.apply(ones.clone())) == [4.0, 2.0, 1.0, 1.0]
    processor.update_state(update(2, removed=[0], added=[(0, None)]))
    assert divided(processor.apply(ones.clone())) == [1.0, 2.0, 1.0, 1.0]
    assert processor.is_argmax_invariant() is False


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), steps=st.integers(1, 12))
def test_any_run_of_updates_in_the_first_runner(seed, steps):
    """Against a plain list of requests that changes as vLLM's persistent batch does."""
    rng = random.Random(seed)
    processor = TemperatureV1(None, CPU, False)
    batch = []
    for _ in range(steps):
        removed, added, moved = [], [], []
        for row in rng.sample(range(len(batch)), rng.randint(0, len(batch))):
            removed.append(row)
            batch[row] = None
        for _ in range(rng.randint(0, 3)):
            temperature = rng.choice([None, 0.5, 3.0])
            row = batch.index(None) if None in batch else len(batch)
            batch[row : row + 1] = [temperature or 1.0]
            added.append((row, temperature))
        while None in batch:  # the last request fills the hole, as when the batch is condensed
            hole, last = batch.index(None), batch.pop()
            if last is not None:
                batch[hole] = last
                moved.append((len(batch), hole, Direction.UNIDIRECTIONAL))
        if len(batch) > 1 and rng.random() < 0.5:
            a, b = rng.sample(range(len(batch)), 2)
            batch[a], batch[b] = batch[b], batch[a]
            moved.append((a, b, Direction.SWAP))
        processor.update_state(update(len(batch), sorted(removed, reverse=True), added, moved))
        assert divided(processor.apply(torch.ones(len(batch) + 1, 2))) == [*batch, 1.0]


def context(slots, rows_of_each=1):
    """The layout of a step: which slot each row is of."""
    mapping = torch.tensor(slots, dtype=torch.int32)
    return SimpleNamespace(
        expanded_idx_mapping=mapping.repeat_interleave(rows_of_each),
        idx_mapping=mapping,
        idx_mapping_np=np.array(slots, dtype=np.int32),
    )


def test_slots_keep_their_temperatures_in_the_second_runner():
    processor = TemperatureV2(None, SimpleNamespace(device=CPU, max_num_reqs=5))
    assert [processor.add_request(slot, params(t)) for slot, t in ((4, 2.0), (0, None))] == [
        True,
        False,
    ]
    processor.apply_staged_writes()
    ones = torch.ones(2, 3)
    assert divided(processor.apply(ones.clone(), context([0, 4]))) == [1.0, 2.0]
    assert divided(processor.apply(ones.clone(), context([4, 1]))) == [2.0, 1.0]
    assert processor.add_request(4, params()) is False  # the slot is used again
    assert processor.add_request(1, params(8.0)) is True
    processor.apply_staged_writes()
    assert divided(processor.apply(ones.clone(), context([4, 1]))) == [1.0, 8.0]
    drafts = processor.apply(torch.ones(4, 3), context([0, 1], rows_of_each=2))
    assert divided(drafts) == [1.0, 1.0, 8.0, 8.0]


def test_the_second_runner_touches_nothing_without_temperatures():
    processor = TemperatureV2(None, SimpleNamespace(device=CPU, max_num_reqs=5))
    processor.add_request(3, params(2.0))
    processor.apply_staged_writes()
    logits = torch.ones(1, 3)
    assert processor.apply(logits, context([0])) is logits
    assert logits._version == 0


@pytest.mark.parametrize("processor", [TemperatureV1, TemperatureV2])
def test_masked_tokens_stay_masked_and_the_first_stays_first(processor):
    logits = torch.tensor([[3.0, -torch.inf, 1.0]])
    if processor is TemperatureV1:
        made = processor(None, CPU, False)
        made.update_state(update(1, added=[(0, 0.5)]))
        out = made.apply(logits)
    else:
        made = processor(None, SimpleNamespace(device=CPU, max_num_reqs=1))
        made.add_request(0, params(0.5))
        made.apply_staged_writes()
        out = made.apply(logits, context([0]))
    assert out.tolist() == [[6.0, -np.inf, 2.0]]


@pytest.mark.parametrize("processor", [TemperatureV1, TemperatureV2])
@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf"), "2", True, 1e300])
def test_requests_that_are_refused(processor, value):
    with pytest.raises(ValueError, match=f"`{ARGUMENT}` to be a number"):
        processor.validate_params(params(value))
    processor.validate_params(params())
    processor.validate_params(params(2))
    processor.validate_params(SimpleNamespace(extra_args={}))


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed")
def test_without_vllm_the_classes_have_no_base():
    assert TemperatureV1.__bases__ == TemperatureV2.__bases__ == (object,)
