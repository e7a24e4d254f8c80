"""What was measured, as tables, words, pictures and files.

Nothing here measures, but `confidence_report.measure`, which calls what does.
"""
