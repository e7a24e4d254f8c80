"""Measures of calibration, with one public face: `from thermometer import metrics`.

All are functions of probabilities in numpy arrays, computed in float64. `intervals` gives them
bounds, `summary` computes them all at once.
"""

from thermometer.metrics.basic import RiskCoverage as RiskCoverage
from thermometer.metrics.basic import TopLabel as TopLabel
from thermometer.metrics.basic import accuracy as accuracy
from thermometer.metrics.basic import aurc as aurc
from thermometer.metrics.basic import auroc as auroc
from thermometer.metrics.basic import binary_brier as binary_brier
from thermometer.metrics.basic import binary_nll as binary_nll
from thermometer.metrics.basic import brier as brier
from thermometer.metrics.basic import nll as nll
from thermometer.metrics.basic import nll_of_rows as nll_of_rows
from thermometer.metrics.basic import oracle_gap_closed as oracle_gap_closed
from thermometer.metrics.basic import risk_coverage as risk_coverage
from thermometer.metrics.basic import signed_gap as signed_gap
from thermometer.metrics.basic import top_label as top_label
from thermometer.metrics.calibration_error import bin_index as bin_index
from thermometer.metrics.calibration_error import calibration_floor as calibration_floor
from thermometer.metrics.calibration_error import debiased_ece as debiased_ece
from thermometer.metrics.calibration_error import (
    expected_calibration_error as expected_calibration_error,
)
from thermometer.metrics.calibration_error import smooth_ece as smooth_ece
from thermometer.metrics.calibration_error import top_label_ece as top_label_ece
