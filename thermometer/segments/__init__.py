"""Where confidence lies: segments of answers, tested against the rest (`report.segments`)."""
