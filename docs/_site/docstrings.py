"""What griffe, which reads the package for mkdocstrings, does not know of the house style.

`Example:` and `.. math::` are no words of its Google style, and would be shown as running text.
`import x as x` in the `__init__` of a room makes x public there, as it does for type checkers.
"""

import re

import griffe

_MATH = re.compile(r"^( *)\.\. math::(.*(?:\n(?:\1 +.*| *))*)", flags=re.MULTILINE)


class House(griffe.Extension):
    """Rewrites docstrings before they are parsed, and says which imports are public."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Called for every module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = rewritten(obj.docstring.value)

    def on_module(self, *, mod: griffe.Module, **_: object) -> None:
        """Called for every module when all of it has been read."""
        if mod.is_init_module and mod.exports is None:
            public = [name for name, member in mod.members.items() if member.is_alias]
            mod.exports = [name for name in public if not name.startswith("_")] or None


def rewritten(text: str) -> str:
    """A docstring in words that griffe knows."""
    text = re.sub(r"^( *)Example:$", r"\1Examples:", text, flags=re.MULTILINE)
    return _MATH.sub(_block, text)


def _block(found: re.Match[str]) -> str:
    indent, formula = found.groups()
    lines = [line.strip() for line in formula.splitlines() if line.strip()]
    return "\n".join(indent + line for line in ("```tex", *lines, "```")) + "\n\n"
