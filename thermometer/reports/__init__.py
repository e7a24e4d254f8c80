"""Reports: what was measured, as tables, words, pictures and files.

A report turns its numbers into a document of `blocks`; `render` shows any document in a terminal,
as Markdown or as HTML.
"""
