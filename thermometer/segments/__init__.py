"""Where confidence lies: segments of answers, tested against the rest.

`segment_report.segments` is the way in (public as `thermometer.segments`).
"""
