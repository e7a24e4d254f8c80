"""Whether a free-form answer is right: it is compared with the accepted ones by a named rule.

Words are compared, not meanings: another wording of a right answer counts as wrong, and every rule
errs in its own way. Nothing here knows about models.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Literal, get_args

from thermometer import _checks

Judge = Literal["match", "contains", "rouge_l"]
JUDGES: tuple[Judge, ...] = get_args(Judge)

# Signs that belong to a number (-3, 2.5) stay: the usual normalisation would make 25 of 2.5.
_DROPPED = re.compile(r"(?<=[^\W\d])\.|\.(?!\d)|(?<=\w)-|-(?![\d.])")
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalised(text: str) -> str:
    """A text without case, punctuation, articles and superfluous blanks.

    As for SQuAD (Rajpurkar, Zhang, Lopyrev and Liang 2016), but the minus sign and the decimal
    point of a number stay, and Unicode's compatible forms are made one.

    Example:
        >>> normalised("The  Eiffel-Tower, Paris!"), normalised("-1,398.5.")
        ('eiffeltower paris', '-1398.5')
    """
    folded = unicodedata.normalize("NFKC", text).casefold().replace("\N{MINUS SIGN}", "-")
    plain = "".join(
        character
        for character in _DROPPED.sub("", folded)
        if character in "-." or not unicodedata.category(character).startswith("P")
    )
    return " ".join(_ARTICLES.sub(" ", plain).split())


def is_right(answer: str, accepted: Sequence[str], judge: Judge = "match") -> bool:
    """Whether an answer is right by a rule.

    Args:
        answer: What was answered.
        accepted: At least one accepted answer.
        judge: `match`: the normalised texts are equal. `contains`: the words of an accepted answer
            stand in the answer, in one piece. `rouge_l`: the longest common subsequence of words is
            not empty, which is ROUGE-L > 0, the rule of Shen et al. (2024), here without stemming;
            it is lenient: one common word is enough.

    Raises:
        ValueError: For an unknown rule or no accepted answer.

    Example:
        >>> said = "It was Goethe, in 1808"
        >>> [is_right(said, ["Goethe"], judge) for judge in ("match", "contains", "rouge_l")]
        [False, True, True]
        >>> [is_right(said, ["Wolfgang Goethe"], judge) for judge in ("contains", "rouge_l")]
        [False, True]
    """
    rule = _RULES[_checks.one_of("judge", judge, JUDGES)]
    if not _checks.strings("accepted", accepted):
        raise _checks.fail("accepted", "at least one answer", "none")
    own = normalised(answer).split()
    return any(rule(own, normalised(other).split()) for other in accepted)


def _match(own: list[str], other: list[str]) -> bool:
    return bool(own) and own == other


def _contains(own: list[str], other: list[str]) -> bool:
    size = len(other)
    return bool(other) and any(other == own[i : i + size] for i in range(len(own) - size + 1))


def _rouge_l(own: list[str], other: list[str]) -> bool:
    return not set(own).isdisjoint(other)  # a subsequence of one word is common


_RULES: dict[str, Callable[[list[str], list[str]], bool]] = {
    "match": _match,
    "contains": _contains,
    "rouge_l": _rouge_l,
}
