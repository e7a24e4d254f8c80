"""The ATS head: its temperatures are positive, and time runs one way."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from thermometer.ats.network import KINDS, AtsConfig, AtsHead

D = 16
SMALL = {kind: AtsConfig(kind, head_size=4, hidden_size=24) for kind in KINDS}


def head(kind="transformer", seed=0, scale=0.3, dtype=torch.float32):
    """A head far from its gentle start."""
    torch.manual_seed(seed)
    made = AtsHead(SMALL[kind], D).to(dtype)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape))
    return made.eval()


@pytest.mark.parametrize(("width", "gated"), [(4096, 11008), (5120, 13824), (576, 1536)])
def test_the_gated_part_is_as_wide_as_in_the_llamas(width, gated):
    assert AtsConfig().gated_size(width) == gated


@pytest.mark.parametrize("kind", KINDS)
def test_an_untrained_head_predicts_one_temperature(kind):
    made = AtsHead(SMALL[kind], D)
    hidden = 10 * torch.randn(3, 5, D)
    assert torch.equal(made(hidden), torch.ones(3, 5))
    made.start_at(2.5)
    np.testing.assert_allclose(made(hidden).detach(), 2.5, rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@given(values=st.lists(st.floats(-1e4, 1e4, width=32), min_size=D, max_size=D), far=st.booleans())
@settings(max_examples=40, deadline=None)
def test_every_temperature_is_finite_and_positive(kind, values, far):
    made = head(kind, scale=30.0 if far else 0.1)
    with torch.no_grad():
        got = made(torch.tensor([[values, [-v for v in values]]]))
    assert got.isfinite().all()
    assert (got >= 0.1 * (1 - 1e-5)).all()  # an inverse of 10 at most, as published
    assert (got <= 1e3 * (1 + 1e-5)).all()


def test_the_inverse_is_clipped_at_the_top_as_published():
    made = AtsHead(AtsConfig("linear", max_inverse=4.0), D)
    made.start_at(1 / 9)
    np.testing.assert_allclose(made(torch.zeros(1, 1, D)).detach(), 1 / 4)


@pytest.mark.parametrize("kind", KINDS)
def test_later_tokens_change_nothing_before_them(kind):
    made, hidden = head(kind), torch.randn(2, 9, D)
    other = hidden.clone()
    other[:, 5] += 3.0
    with torch.no_grad():
        before, after = made(hidden), made(other)
    np.testing.assert_allclose(before[:, :5], after[:, :5], rtol=1e-6)
    changed = (before != after).any(dim=0)
    assert changed[5]
    assert bool(changed[6:].all()) is (kind == "transformer")  # only attention looks back


@pytest.mark.parametrize("kind", KINDS)
def test_padding_on_either_side_does_not_matter(kind):
    made, hidden = head(kind, dtype=torch.float64), torch.randn(1, 6, D, dtype=torch.float64)
    junk = 50 * torch.randn(1, 3, D, dtype=torch.float64)
    alone = made(hidden).detach()
    right = made(torch.cat([hidden, junk], 1), torch.tensor([[1] * 6 + [0] * 3])).detach()
    left = made(torch.cat([junk, hidden], 1), torch.tensor([[0] * 3 + [1] * 6])).detach()
    np.testing.assert_allclose(right[:, :6], alone, rtol=1e-9)
    np.testing.assert_allclose(left[:, 3:], alone, rtol=1e-9)
    assert torch.equal(right[:, 6:], torch.ones_like(right[:, 6:]))
    assert torch.equal(left[:, :3], torch.ones_like(left[:, :3]))


def test_a_batch_of_one_equals_a_row_of_a_batch():
    made, hidden = head(dtype=torch.float64), torch.randn(4, 6, D, dtype=torch.float64)
    with torch.no_grad():
        together = made(hidden)
        for row in range(4):
            np.testing.assert_allclose(made(hidden[row : row + 1])[0], together[row], rtol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_finite_for_large_states_and_padding(kind):
    made = head(kind)
    mask = torch.tensor([[0, 1, 1, 1], [1, 1, 0, 0]])
    made.log_inverse(1e4 * torch.randn(2, 4, D), mask).sum().backward()
    assert all(p.grad.isfinite().all() for p in made.parameters())


def test_bfloat16_states_and_mixed_precision_stay_close():
    made, hidden = head(scale=0.1), torch.randn(2, 6, D).bfloat16()
    with torch.no_grad():
        plain = made(hidden)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mixed = made(hidden)
    assert plain.dtype == mixed.dtype == torch.float32
    np.testing.assert_allclose(mixed.log(), plain.log(), atol=0.02)
    assert not torch.equal(mixed, plain)


def test_a_head_is_rebuilt_from_its_architecture():
    made = AtsHead(AtsConfig("mlp", hidden_size=np.int64(8), max_inverse=np.float64(5)), D)
    again = AtsHead.from_architecture(made.architecture())
    assert again.config == made.config
    again.load_state_dict(made.state_dict())
    with pytest.raises(ValueError, match=r"keys .* but got \['kind'\] amiss"):
        AtsHead.from_architecture({k: v for k, v in made.architecture().items() if k != "kind"})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "conv"}, "one of 'linear', 'mlp', 'transformer', but got 'conv'"),
        ({"head_size": 3}, "`head_size` to be even, but got 3"),
        ({"hidden_size": -1}, "integer of at least 0"),
        ({"max_inverse": 0.5}, "number in"),
        ({"max_inverse": math.nan}, "number in"),
    ],
)
def test_bad_shapes_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        AtsConfig(**fields)


def test_states_of_another_width_are_refused():
    with pytest.raises(ValueError, match="divisor of 10, but got 4"):
        AtsHead(SMALL["transformer"], 10)
    with pytest.raises(ValueError, match=r"`hidden` to be of shape \(B, L, 16\)"):
        head()(torch.zeros(2, D))
    with pytest.raises(ValueError, match=r"`mask` to be of shape \(1, 2\), but got shape \(1, 3\)"):
        head()(torch.zeros(1, 2, D), torch.ones(1, 3))
