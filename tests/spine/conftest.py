"""A thermometer of two answering models, trained once for the tests of the spine."""

import pytest
from worlds import QUIET, SCORES, SHORT, answers

from thermometer.training import train


@pytest.fixture(scope="session")
def family():
    tables = [answers("hot", 4.0, seed=0)[0], answers("cool", 0.5, level=4.0, seed=1)[0]]
    return train(tables, SCORES, SHORT, trainer=QUIET)
