"""Reports: `blocks` of text, tables and pictures, shown by `render` as text, Markdown or HTML."""
