"""Docstrings as mkdocstrings reads them: `Example:` is a section of examples, formulas are blocks.

The package writes `Example:` and `.. math::`, which are no words of the Google style that griffe
knows; without this they would be shown as running text.
"""

import re

import griffe

_MATH = re.compile(r"^( *)\.\. math::(.*(?:\n(?:\1 +.*| *))*)", flags=re.MULTILINE)


class House(griffe.Extension):
    """Rewrites each docstring once, before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Called for every module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = rewritten(obj.docstring.value)


def rewritten(text: str) -> str:
    """A docstring in words that griffe knows."""
    text = re.sub(r"^( *)Example:$", r"\1Examples:", text, flags=re.MULTILINE)
    return _MATH.sub(_block, text)


def _block(found: re.Match[str]) -> str:
    indent, formula = found.groups()
    lines = [line.strip() for line in formula.splitlines() if line.strip()]
    return "\n".join(indent + line for line in ("```tex", *lines, "```")) + "\n\n"
