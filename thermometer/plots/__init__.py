"""Pictures: `prepare_*` gives numbers, `draw_*` a matplotlib figure, `text_*` a string.

`docs/gallery.md` shows them all. Matplotlib is imported only when something is drawn.
"""
