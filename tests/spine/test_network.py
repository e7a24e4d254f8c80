import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import world

from thermometer.network import Member, Thermometer, ThermometerConfig

SMALL = ThermometerConfig(("features",), n_components=3, n_members=2, hidden_size=8)
PRESETS = {
    "features": lambda: ThermometerConfig(("features",), n_components=4, hidden_size=16),
    "paper": lambda: ThermometerConfig.paper(16),
}


@pytest.mark.parametrize("preset", PRESETS)
@given(
    values=st.lists(st.floats(-1e4, 1e4, width=32), min_size=6, max_size=6),
    factor=st.sampled_from([1.0, 1e-6, 30.0]),
)
@settings(max_examples=60, deadline=None)
def test_every_temperature_is_finite_and_positive(preset, values, factor):
    torch.manual_seed(0)
    network = Thermometer(PRESETS[preset](), 6).eval()
    with torch.no_grad():
        for parameter in network.parameters():  # far from the gentle start
            parameter.mul_(factor)
        got = network(torch.tensor([values, [-v for v in values]]))
    assert got.isfinite().all()
    assert (got >= 1e-3 * (1 - 1e-5)).all()
    assert (got <= 1e3 * (1 + 1e-5)).all()


@pytest.mark.parametrize("preset", PRESETS)
def test_gradients_are_finite_for_large_features(preset):
    network = Thermometer(PRESETS[preset](), 6)
    for sign in (1, -1):
        network.zero_grad()
        network(torch.full((3, 6), sign * 1e4)).log().sum().backward()
        assert all(p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize(
    ("n_features", "width", "count"), [(2048, 256, 1574407), (4096, 512, 6294535)]
)
def test_the_paper_network_has_as_many_parameters_as_the_authors(n_features, width, count):
    network = Thermometer(ThermometerConfig.paper(width), n_features)
    assert sum(p.numel() for p in network.parameters()) == count
    assert {name for name, _ in network.named_buffers()} == {
        "model_temperatures",
        "anchor",
        "shrinkage",
    }


def test_the_paper_network_is_the_published_one():
    """methods.md 1.1: three Linear-ReLU-Linear, concatenated, Linear, softplus: the inverse."""
    torch.manual_seed(3)
    network = Thermometer(ThermometerConfig.paper(7), 10).double()
    x = torch.randn(50, 10, dtype=torch.float64) * 4
    w = {name: value.numpy() for name, value in network.state_dict().items()}
    outputs = []
    for branch in range(3):
        first, second = f"members.0.branches.{branch}.1", f"members.0.branches.{branch}.4"
        hidden = np.maximum(x.numpy() @ w[f"{first}.weight"].T + w[f"{first}.bias"], 0)
        outputs.append(hidden @ w[f"{second}.weight"].T + w[f"{second}.bias"])
    z = np.hstack(outputs) @ w["members.0.combine.weight"].T + w["members.0.combine.bias"]
    inverse = np.log1p(np.exp(z[:, 0]))
    with torch.no_grad():
        b = network.members[0](*reading(x)).numpy()
        temperature = network.float()(x.float()).numpy()
    np.testing.assert_allclose(b, np.log(inverse), rtol=1e-10)
    np.testing.assert_allclose(temperature, 1 / inverse, rtol=1e-5)
    assert temperature.std() > 0.01


def test_softplus_stays_exact_where_it_underflows():
    member = Member(ThermometerConfig.paper(2), "features", 3)
    with torch.no_grad():
        for parameter in member.parameters():
            parameter.zero_()
        for z in (-6.0, -2.0, 0.0, 3.0, 500.0):
            member.combine.bias.fill_(z)
            exact = math.log(math.log1p(math.exp(z)) if z < 30 else z)
            assert float(member(*reading(torch.zeros(1, 3)))) == pytest.approx(exact, rel=1e-5)
        for z in (-50.0, -1e6):
            member.combine.bias.fill_(z)
            assert float(member(*reading(torch.zeros(1, 3)))) == pytest.approx(-math.log(1e3))


def reading(features):
    """What a member reads of features alone."""
    return {"features": features}, torch.zeros(len(features), dtype=torch.int64)


def fit(network, features):
    network.fit_inputs(features, None, None, 1.0)


def correlated(n=3000, width=12, seed=0):
    torch.manual_seed(seed)
    return torch.randn(n, width) @ torch.randn(width, width) * torch.logspace(-3, 3, width) + 7


def test_whitened_components_have_unit_variance_and_no_correlation():
    features = correlated()
    network = Thermometer(replace(SMALL, n_components=5, whitening=1.0), 12)
    fit(network, features)
    found = network.components(features).double().numpy()
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(np.cov(found.T), np.eye(5), atol=5e-3)


@pytest.mark.parametrize("whitening", [0.0, 0.5])
def test_half_whitened_components_keep_their_order_and_mean_variance_one(whitening):
    features = correlated()
    network = Thermometer(replace(SMALL, n_components=5, whitening=whitening), 12)
    fit(network, features)
    covariance = np.cov(network.components(features).double().numpy().T)
    variance = np.diag(covariance)
    np.testing.assert_allclose(covariance, np.diag(variance), atol=0.01)
    assert variance.mean() == pytest.approx(1, abs=0.01)
    assert (np.diff(variance) < 0).all()
    standard = ((features - features.mean(0)) / features.std(0)).double().numpy()
    largest = np.linalg.eigvalsh(np.cov(standard.T))[::-1][:5]  # exact, where ours is randomised
    expected = largest ** (1 - whitening)
    np.testing.assert_allclose(variance, expected / expected.mean(), rtol=0.02)


def test_a_constant_feature_does_no_harm():
    features = correlated()
    features[:, 3] = 5.0
    network = Thermometer(SMALL, 12).eval()
    fit(network, features)
    assert network(features).isfinite().all()
    assert network.components(features).std(dim=0).max() < 3


def test_fewer_rows_than_components_are_refused():
    network = Thermometer(SMALL, 12)
    with pytest.raises(ValueError, match=r"to train on, which is 3, but got 3\. Take fewer"):
        fit(network, torch.randn(3, 12))


@pytest.mark.parametrize("temperature", [0.01, 0.5, 1.0, 3.7, 100.0])
def test_the_untrained_default_network_says_one_temperature(temperature):
    network = Thermometer(SMALL, 6).eval()
    for member in network.members:
        member.start_at(temperature)
    np.testing.assert_allclose(network(torch.randn(9, 6).mul(50)).detach(), temperature, rtol=1e-4)
    network.train()
    b = network.members[0](*reading(torch.randn(9, 3)))
    b.sum().backward()  # it can still learn: not every gradient is zero
    assert max(float(p.grad.abs().max()) for p in network.members[0].parameters()) > 0


def test_the_paper_network_starts_at_random():
    network = Thermometer(ThermometerConfig.paper(8), 6)
    before = [p.clone() for p in network.parameters()]
    network.members[0].start_at(3.0)
    assert all(map(torch.equal, before, network.parameters()))


def test_members_are_averaged_in_log_temperature():
    network = Thermometer(SMALL, 6).eval()
    x = torch.randn(4, 6)
    with torch.no_grad():
        each = torch.stack([member(*reading(network.components(x))) for member in network.members])
        np.testing.assert_allclose(network(x), torch.exp(-each.mean(0)), rtol=1e-6)
    assert (each[0] - each[1]).abs().max() > 0.01


TOGETHER = {
    "default": ThermometerConfig(n_components=4),
    "features": ThermometerConfig.features_only(),
    "scores": ThermometerConfig.scores_only(),
    "paper": ThermometerConfig.paper(16),
    "branches": ThermometerConfig(
        ("scores+debiased", "positions+features", "debiased"),
        n_components=4,
        n_members=2,
        n_branches=2,
    ),
    "softplus": ThermometerConfig(("scores+debiased",), pool_size=0, output="softplus"),
}


@pytest.mark.parametrize("n_groups", [1, 3, 40])
@pytest.mark.parametrize("name", TOGETHER)
def test_members_together_say_what_they_say_one_by_one(name, n_groups):
    torch.manual_seed(0)
    config = TOGETHER[name]
    if config.n_components:
        config = replace(config, n_components=4)
    network = Thermometer(config, 6 if "features" in config.needs else 0).eval()
    features, scores = torch.randn(40, 6), torch.randn(40, 5) * 3
    scores[::3, -1] = -torch.inf
    groups = torch.arange(40) % n_groups * 2  # some groups are empty
    inputs = network.inputs(features, scores, groups)
    together = network.predict(inputs, groups)
    one_by_one = network.predict_views(inputs, groups).mean(dim=0)
    assert one_by_one.std() > 0.01
    torch.testing.assert_close(together, one_by_one, rtol=0, atol=1e-6)
    gradients = []
    for b in (together, one_by_one):
        network.zero_grad()
        b.square().sum().backward()
        gradients.append([p.grad for p in network.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    row = {source: values[:1] for source, values in inputs.items()}
    alone = network.predict_views(row).mean(dim=0), network.predict(row)
    torch.testing.assert_close(*alone, rtol=0, atol=1e-6)


def test_members_together_follow_weights_that_change():
    network = Thermometer(ThermometerConfig.scores_only()).eval()
    scores = torch.randn(9, 4)
    with torch.no_grad():
        before = network(None, scores)
        for parameter in network.parameters():
            parameter.mul_(1.5)
        inputs = network.inputs(None, scores)
        expected = network.predict_views(inputs).mean(dim=(0, 1)).neg().exp()
        torch.testing.assert_close(network(None, scores), expected)
    assert (before - expected).abs().max() > 0.01


def test_in_training_units_are_dropped():
    network = Thermometer(ThermometerConfig.scores_only()).train()
    scores = torch.randn(9, 4)
    assert not torch.equal(network(None, scores), network(None, scores))


def test_float16_features_are_welcome():
    network = Thermometer(SMALL, 6).eval()
    x = torch.randn(4, 6).half()
    assert torch.equal(network(x), network(x.float()))


@pytest.mark.parametrize("shape", [(3, 5), (6,), (2, 3, 6)])
def test_another_width_is_refused_with_both(shape):
    with pytest.raises(ValueError, match=rf"\(N, 6\).*{str(shape)[1:-1]}"):
        Thermometer(SMALL, 6)(torch.zeros(shape))


@pytest.mark.parametrize("config", [SMALL, ThermometerConfig.paper(4)])
def test_architecture_rebuilds_the_network(config):
    first = Thermometer(config, 6).eval()
    second = Thermometer.from_architecture(first.architecture()).eval()
    second.load_state_dict(first.state_dict(), strict=True)
    x = torch.randn(3, 6)
    assert torch.equal(first(x), second(x))
    assert repr(first) == repr(second)
    assert str(config) in repr(first)


@pytest.mark.parametrize("change", [{"extra": 1}, {"dropout": None}])
def test_architecture_with_another_key_is_refused(change):
    fields = Thermometer(SMALL, 6).architecture() | change
    if change == {"dropout": None}:
        del fields["dropout"]
    with pytest.raises(ValueError, match=next(iter(change))):
        Thermometer.from_architecture(fields)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n_components", -1),
        ("whitening", 1.5),
        ("n_members", 0),
        ("n_branches", 0),
        ("hidden_size", 0),
        ("activation", "gelu"),
        ("dropout", 1.0),
        ("dropout", float("nan")),
        ("output", "exp"),
    ],
)
def test_bad_settings_are_refused_by_name(field, value):
    with pytest.raises(ValueError, match=field):
        ThermometerConfig(**{field: value})


def test_more_components_than_features_are_refused():
    with pytest.raises(ValueError, match=r"n_components.*at most 6.*got 7"):
        Thermometer(ThermometerConfig(("features",), n_components=7), 6)


def test_worlds_carry_their_temperature_in_the_features():
    """The recovery tests mean something only if a linear map can read the temperature."""
    table, temperature = world(spread=0.5)
    x = np.column_stack([table.features, np.ones(len(table))])
    weights, *_ = np.linalg.lstsq(x, np.log(temperature), rcond=None)
    assert np.corrcoef(x @ weights, np.log(temperature))[0, 1] > 0.99
