"""Statistics of scores: literal formulas, and what they must not depend on."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from thermometer.score_features import (
    WIDTHS,
    ScoreInputs,
    debiased_statistics,
    position_statistics,
    sample_statistics,
    softened,
)

scores_of = st.lists(st.floats(-30, 30), min_size=2, max_size=6)


def softmax(row, t):
    odds = [math.exp((s - max(row)) / t) for s in row]
    return [o / math.fsum(odds) for o in odds]


def entropy(probs):
    return -math.fsum(p * math.log(p) for p in probs if p > 0) / math.log(len(probs))


def literal_sample(row, reference):
    z = [s / reference for s in row]
    mean = math.fsum(z) / len(z)
    deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in z) / len(z))
    best, *others = sorted(z, reverse=True)
    found = [
        math.log(deviation + 1e-3),
        math.log1p(best - others[0]),
        math.log1p(best - math.fsum(others) / len(others)),
        math.log1p(best - others[-1]),
    ]
    for t in (0.25, 0.5, 1.0, 2.0):
        probs = softmax(z, t)
        found += [entropy(probs), max(probs)]
    return found


def literal_debiased(rows, groups, reference):
    found = []
    for row, group in zip(rows, groups, strict=True):
        members = [r for r, g in zip(rows, groups, strict=True) if g == group]
        place, numbers = row.index(max(row)), []
        for t in (0.25, 0.5, 1.0):
            probs = [softmax([s / reference for s in r], t) for r in members]
            ratio = []
            for k, p in enumerate(softmax([s / reference for s in row], t)):
                having = [p for p in probs if len(p) > k]
                ratio.append(p / (math.fsum(len(p) * p[k] for p in having) / len(having)))
            q = [v / math.fsum(ratio) for v in ratio]
            numbers += [q[place], max(q), entropy(q), float(q.index(max(q)) == place)]
        found.append(numbers)
    return found


def padded(rows):
    width = max(map(len, rows))
    return torch.tensor([[*row, *[-math.inf] * (width - len(row))] for row in rows])


@given(st.lists(scores_of, min_size=1, max_size=5), st.floats(0.3, 8))
@settings(max_examples=60, deadline=None)
def test_sample_statistics_by_the_formulas(rows, reference):
    found = sample_statistics(softened(padded(rows).double(), reference))
    assert found.shape == (len(rows), WIDTHS["scores"])
    expected = [literal_sample(row, reference) for row in rows]
    np.testing.assert_allclose(found.numpy(), expected, rtol=2e-3, atol=2e-4)


def test_fair_statistics_by_the_formulas():
    rng = np.random.default_rng(0)
    rows = [list(rng.normal(size=4 - i % 2) * 3) for i in range(12)]
    groups = [0] * 5 + [1] * 7
    found = debiased_statistics(softened(padded(rows), 1.7), torch.tensor(groups))
    assert found.shape == (12, WIDTHS["debiased"])
    expected = literal_debiased(rows, groups, 1.7)
    np.testing.assert_allclose(found.numpy(), expected, rtol=2e-3, atol=2e-4)


@given(st.lists(st.lists(st.floats(-30, 30), min_size=2, max_size=11), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_place_statistics_by_the_formulas(rows):
    found = position_statistics(softened(padded(rows).double(), 1.3))
    assert found.shape == (len(rows), WIDTHS["positions"])
    places = WIDTHS["positions"] // 2
    for row, values in zip(rows, found.numpy(), strict=True):
        z = [s / 1.3 for s in row]
        centred = [v - math.fsum(z) / len(z) for v in z]
        for part, expected in ((values[:places], centred), (values[places:], softmax(z, 1))):
            kept = np.array([*expected, *[0.0] * places][:places])
            np.testing.assert_allclose(part, kept, rtol=2e-3, atol=2e-4)


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_order_of_options_and_a_constant_change_nothing(seed):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(9, 5, generator=generator) * 4
    groups = torch.arange(9) // 3
    order = torch.randperm(5, generator=generator)
    for changed in (scores[:, order], scores + 100.0):
        for one, other in zip(_all(scores, groups), _all(changed, groups), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
    for one, other in zip(
        _all(scores, groups, 1.5), _all(scores * 2, groups, 3.0), strict=True
    ):  # scale goes with the reference
        torch.testing.assert_close(one, other)


def _all(scores, groups, reference=1.5):
    rows = softened(scores, reference)
    return sample_statistics(rows), debiased_statistics(rows, groups)


@pytest.mark.parametrize("n_options", [2, 5, 7, 8, 20])
def test_probabilities_are_those_of_the_softmax(n_options):
    scores = torch.randn(1003, n_options, generator=torch.Generator().manual_seed(3)) * 5
    scores[::3, 1] = -math.inf if n_options > 2 else 0.0
    for number, temperature in enumerate((0.25, 0.5, 1.0, 2.0)):
        expected = (scores.double() / temperature).softmax(dim=1).float()
        found = softened(scores, 1.0).probs[number]
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)


def test_rows_of_other_groups_do_not_matter():
    scores = torch.randn(8, 4, generator=torch.Generator().manual_seed(1))
    groups = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    _, both = _all(scores, groups)
    _, alone = _all(scores[4:], torch.zeros(4, dtype=torch.int64))
    torch.testing.assert_close(both[4:], alone)


def test_a_row_alone_has_no_bias_left_and_finite_numbers():
    scores = torch.tensor([[500.0, -500.0, 0.0], [1e-9, 0.0, -math.inf]])
    for values in _all(scores, torch.tensor([0, 1])):
        assert values.isfinite().all()


def test_inputs_are_standardised_cut_and_silent_where_nothing_differed():
    scores = torch.randn(300, 2, generator=torch.Generator().manual_seed(2)) * 3
    groups = torch.arange(300) % 6
    inputs = ScoreInputs(["scores", "positions", "debiased"])
    model = torch.zeros_like(groups)
    inputs.fit(scores, groups, model)
    found = inputs(scores, groups, model)
    assert list(found) == ["scores", "positions", "debiased"]
    for values in found.values():
        used = values.std(dim=0) > 0
        assert values[:, used].mean(dim=0).abs().max() < 0.2  # but for what was cut
        assert values.abs().max() <= 5
    constant = inputs.positions_gain[0] == 0
    assert constant.any()  # no row has a third option
    wide = torch.randn(3, 8) * 1e6
    far = inputs(wide, model[:3], model[:3], only=["positions"])["positions"]
    assert far.abs().max() == 5
    assert far[:, constant].abs().max() == 0
