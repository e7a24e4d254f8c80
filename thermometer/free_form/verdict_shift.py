"""The one thing that a temperature cannot mend: a model that says Yes, or No, to everything.

A shift of the score of Yes, fitted on labelled verdicts, moves the point at which Yes and No are
equally likely; the thermometer then divides the shifted scores.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit

from thermometer import _checks
from thermometer.baselines.platt import fit_line, soft_targets
from thermometer.scaling import VERDICT_SHIFT, shifted
from thermometer.tables import OutputTable

_SLOPE = 0.05
"""Least slope in log-odds: verdicts that say nothing, or the contrary, count as this weak."""


def shift_verdicts(table: OutputTable) -> OutputTable:
    """A table of verdicts whose score of Yes is shifted as its own labels want it.

    With d = s_Yes - s_No, P(right) = sigmoid(a d + c) is fitted by maximum likelihood (Platt 1999),
    a >= 0.05, and c / a is added to s_Yes. At temperature 1 / a the shifted scores then have that
    probability; what remains for a thermometer is how the temperature differs between questions.
    The shift is noted in the provenance of the scores, so that a checkpoint carries it and
    `CalibratedLM` adds it to new verdicts. Shift before `train`:
    ``train(shift_verdicts(table))``; to measure on other tasks use `add_shift`.

    Args:
        table: Labelled scores of two options, Yes and No, as `extract` makes them of
            `verify_tasks`; not shifted yet.

    Raises:
        ValueError: If rows have no label or not two options, or the scores are shifted already.

    Example:
        >>> scores = [[2.0, 0.0], [2.5, 0.0], [1.5, 0.0], [2.0, 0.0]] * 50  # Yes to everything
        >>> labels = [0, 1, 1, 1] * 50  # and right once in four times
        >>> ids = [str(i) for i in range(200)]
        >>> table = shift_verdicts(OutputTable.from_arrays(ids, ["t"] * 200, labels, scores))
        >>> bool(table.scores[0, 0] < table.scores[0, 1])
        True
    """
    if not table.labelled:
        raise _checks.fail("table", "labelled in every row", table)
    scores = table.require("scores")
    right = (table.labels == 0).astype(np.float64)
    odds = shifted(scores, 0.0) @ (1.0, -1.0)
    slope, intercept = fit_line(odds, right)
    if slope < _SLOPE:
        slope, intercept = _SLOPE, _intercept(_SLOPE * odds, soft_targets(right).mean())
    return add_shift(table, intercept / slope)


def add_shift(table: OutputTable, shift: float) -> OutputTable:
    """A table of verdicts with a given shift of the score of Yes, as a checkpoint holds it.

    Raises:
        ValueError: If rows have not two options, or the scores are shifted already.
    """
    made = dict(table.provenance.get("scores") or {})
    if VERDICT_SHIFT in made:
        got = f"{VERDICT_SHIFT} {made[VERDICT_SHIFT]}"
        raise _checks.fail("table", "of scores as the model gave them", got)
    return replace(
        table,
        scores=shifted(table.require("scores"), shift),
        provenance={**table.provenance, "scores": {**made, VERDICT_SHIFT: float(shift)}},
    )


def _intercept(line: NDArray[np.float64], mean: float) -> float:
    """The c for which sigmoid(line + c) has a given mean in (0, 1)."""
    edge = float(np.abs(line).max()) + 40.0
    return float(brentq(lambda c: float(expit(line + c).mean()) - mean, -edge, edge))
