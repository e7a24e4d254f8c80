"""Watching the calibration of a model in use: alarms, early signs and recalibration.

`Monitor` takes predictions and late labels. `CalibrationAlarm` and `EarlySign` are its two tests,
usable alone. torch is never imported.
"""

from thermometer.monitoring.alarm import Bets as Bets
from thermometer.monitoring.alarm import CalibrationAlarm as CalibrationAlarm
from thermometer.monitoring.alarm import EarlySign as EarlySign
from thermometer.monitoring.alarm import Episode as Episode
from thermometer.monitoring.alarm import Sign as Sign
from thermometer.monitoring.history import MonitorSettings as MonitorSettings
from thermometer.monitoring.monitor import Monitor as Monitor
from thermometer.monitoring.state import MonitorState as MonitorState
from thermometer.monitoring.state import Receipt as Receipt
