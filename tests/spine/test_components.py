"""Features that say nothing must not speak: degenerate columns, and JSON-ready configurations."""

import json

import numpy as np
import pytest
import torch

from thermometer.network import Thermometer, ThermometerConfig


def fitted(config, features):
    torch.manual_seed(0)
    thermometer = Thermometer(config, features.shape[1])
    thermometer.fit_inputs(features, None, None, 1.0)
    return thermometer


@pytest.mark.parametrize("whitening", [0.0, 0.5, 1.0])
def test_constant_and_repeated_columns_do_no_harm(whitening):
    good = torch.randn(400, 4, generator=torch.Generator().manual_seed(0))
    constant = torch.full((400, 3), 1234.567)
    features = torch.cat([constant, good, good, constant], dim=1)
    config = ThermometerConfig(("features",), 8, whitening, n_members=1, hidden_size=4)
    thermometer = fitted(config, features)
    components = thermometer.components(features)
    assert components.abs().max() < 30
    assert float(components.var(dim=0)[:4].mean()) == pytest.approx(1, abs=0.01)
    # A row whose constant or repeated columns move a little is not thrown out of all bounds.
    moved = features.clone()
    moved[:, :4] += 0.1
    assert (thermometer.components(moved) - components).abs().max() < 1


def test_features_that_are_all_alike_give_components_of_zero():
    features = torch.full((9, 4), 3.3)
    thermometer = fitted(ThermometerConfig(("features",), 2, hidden_size=4), features)
    assert thermometer.components(features).abs().max() == 0
    assert thermometer.components(torch.randn(3, 4)).abs().max() == 0


def test_small_and_large_columns_count_alike():
    features = torch.randn(300, 6, generator=torch.Generator().manual_seed(1))
    config = ThermometerConfig(("features",), 3, hidden_size=4)
    plain = fitted(config, features)
    scaled_features = features * torch.logspace(-4, 4, 6)
    scaled = fitted(config, scaled_features)
    torch.testing.assert_close(
        plain.components(features).abs(),
        scaled.components(scaled_features).abs(),
        rtol=0.01,
        atol=0.01,
    )


def test_numpy_numbers_become_plain_ones():
    config = ThermometerConfig(("features",), np.int64(4), np.float64(0.5), hidden_size=np.int32(8))
    again = json.loads(json.dumps(Thermometer(config, 6).architecture()))
    assert Thermometer.from_architecture(again).config == config
