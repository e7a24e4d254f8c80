"""Answers in words: generated, judged by the model itself, and that verdict calibrated."""
