"""A table of several tasks is calibrated task by task: what is said of one is said of it alone."""

import numpy as np
import pytest
from worlds import world

from thermometer.tables import OutputTable
from thermometer.training import resolve, train


@pytest.fixture(scope="module")
def trained():
    table, _ = world(24, 60, seed=0)
    network, training = resolve("scores", {"n_members": 2}, {"max_steps": 40})
    return train(table, network, training, trainer={"enable_progress_bar": False})


@pytest.fixture(scope="module")
def tables():
    """Twelve new tasks, the scores of one of them twice as large; rows of all tasks mixed."""
    table, _ = world(12, 40, seed=1, prefix="new")
    scores = table.scores.copy()
    alien = table.task_names[5]
    scores[table.tasks == alien] *= 8
    order = np.random.default_rng(2).permutation(len(table))
    mixed = OutputTable.from_arrays(
        [table.ids[i] for i in order], table.tasks[order], table.labels[order], scores[order]
    )
    return mixed, alien


@pytest.mark.parametrize("per", ["sample", "task"])
def test_every_task_gets_what_it_gets_alone(trained, tables, per):
    table, _ = tables
    found = trained.calibrate(table, per=per)
    for name in table.task_names:
        rows = table.tasks == name
        alone = trained.calibrate(table.of_tasks([name]), per=per)
        np.testing.assert_allclose(found.temperature[rows], alone.temperature, rtol=1e-5)
        np.testing.assert_allclose(found.probs[rows], alone.probs, atol=1e-6)


def test_one_odd_task_among_many_is_named(trained, tables):
    table, alien = tables
    found = trained.calibrate(table)
    alone = {name: trained.calibrate(table.of_tasks([name])) for name in table.task_names}
    assert found.in_domain is False
    assert found.distances["scores"] == pytest.approx(
        max(one.distances["scores"] for one in alone.values()), rel=1e-5
    )
    (said,) = [warning for warning in found.warnings if "unlike" in warning]
    for name, one in alone.items():
        assert (name in said) is (one.in_domain is False)
    assert alien in said
