"""Which text is which option: blanks, quotes, brackets, case and a full stop do not matter.

It compares bytes, since a token may hold a part of a character. Nothing here knows probabilities.
"""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from thermometer import _checks

Merge = Literal["spelling", "exact"]
_BEFORE = " \t\r\n\"'`*_([{<#▁Ġ\u00a0\u201c\u2018"
_BEHIND = " \t\r\n\"'`*_)]}>.,:;!?\u00a0\u201d\u2019"
_GOES_ON = re.compile(r"\w|[.,]\d")  # so "A." is A, but "Apple" is not, and 1.5 is not 1


class Match(NamedTuple):
    """What a text can still be.

    Args:
        done: Index of the option that it is, or `None`.
        open: (K,) bool, the options that it is only the beginning of.
    """

    done: int | None
    open: NDArray[np.bool_]


class OptionTexts:
    """Options and the rule by which differently written texts count as one of them.

    By `spelling`, blanks, quotes, brackets and stars before a text and the case of its letters do
    not count, and an option ends where no letter or digit follows: " A", "a", "**A**", "(A)" and
    "A." are A, "Apple" is not. By `exact`, every byte counts.

    Args:
        options: At least two.
        merge: The rule.

    Raises:
        ValueError: If two options are alike under the rule, or one has nothing left.

    Example:
        >>> texts = OptionTexts(["yes", "no", "not sure"])
        >>> texts.match(b" Yes."), texts.match(b" no").done
        (Match(done=0, open=array([False, False, False])), 1)
        >>> texts.match(b" no").open.tolist(), texts.match(b"maybe").done
        ([False, False, True], None)
    """

    def __init__(self, options: Sequence[str], merge: Merge = "spelling") -> None:
        self.options = _checks.strings("options", options)
        self.merge = _checks.one_of("merge", merge, ("spelling", "exact"))
        if len(self.options) < 2:
            raise _checks.fail("options", "at least two texts", len(self.options))
        self._forms = [self._option(option) for option in self.options]
        for i, form in enumerate(self._forms):
            if not form:
                raise _checks.fail("options", "texts with letters or digits", repr(self.options[i]))
            if form in self._forms[:i]:
                twin = self.options[self._forms.index(form)]
                raise _checks.fail(
                    "options",
                    f"different texts (merge={merge!r})",
                    f"{twin!r} and {self.options[i]!r}",
                )

    def __len__(self) -> int:
        return len(self.options)

    def match(self, text: bytes) -> Match:
        """What the text is, or may become."""
        form = self._form(text)
        size = len(form)
        open_ = np.array([len(o) > size and o.startswith(form) for o in self._forms])
        whole = [i for i, option in enumerate(self._forms) if self._is(form, option)]
        return Match(max(whole, key=lambda i: len(self._forms[i]), default=None), open_)

    def _is(self, form: bytes, option: bytes) -> bool:
        if not form.startswith(option):
            return False
        rest = form[len(option) :]
        if self.merge == "exact":
            return not rest
        return not _GOES_ON.match(rest.decode("utf-8", "surrogateescape"))

    def _form(self, text: bytes) -> bytes:
        if self.merge == "exact":
            return text
        plain = text.decode("utf-8", "surrogateescape").lstrip(_BEFORE).casefold()
        return plain.encode("utf-8", "surrogateescape")

    def _option(self, option: str) -> bytes:
        if self.merge == "exact":
            return option.encode()
        return self._form(option.rstrip(_BEHIND).encode())
