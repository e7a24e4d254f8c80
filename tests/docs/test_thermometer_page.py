"""The page on the thermometer: its Python runs, and what it says of the results is so."""

import re

import pages
import pytest

from thermometer.training import PRESETS, resolve

TEXT = pages.text_of("docs/thermometer.md")


def test_every_block_runs_and_tells_of_a_task():
    done = pages.run("docs/thermometer.md")
    assert len(done.printed) == 7
    namespace = done.names
    factor, result = namespace["factor"], namespace["result"]
    assert factor.n_labels == 10
    assert factor.low < factor.factor < factor.high
    assert namespace["calibration"].standard_error < result.standard_error
    assert len(namespace["streamed"].temperature) == 50
    assert set(result.distances) == {"scores", "positions", "debiased"}
    assert namespace["both"].record.targets == ({}, {"model": "cool"})
    table, cool, unseen = (namespace[name] for name in ("table", "cool", "unseen"))
    adapted = namespace["adapted"].temperature(cool.select(unseen))
    own = namespace["calibrator"].temperature(table.select(unseen))
    assert own / adapted == pytest.approx(4, rel=0.01)


def test_the_table_of_presets_is_the_truth():
    for preset in PRESETS:
        network, _ = resolve(preset, {}, {})
        lines = TEXT[TEXT.index("| preset |") :].splitlines()
        row = next(line for line in lines if line.startswith(f"| `{preset}` |"))
        assert re.findall(r"`([a-z+]+)`", row.split("|")[2]) == list(network.views)
