"""Numbers below a hundred in English words. Knows nothing about questions."""

from thermometer.families._family import words

_SMALL = words("""
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
sixteen seventeen eighteen nineteen
""")
_TENS = words("twenty thirty forty fifty sixty seventy eighty ninety")


def in_words(number: int) -> str:
    """The number in words.

    >>> in_words(12), in_words(40), in_words(57)
    ('twelve', 'forty', 'fifty-seven')
    """
    if number < 20:
        return _SMALL[number]
    tens, units = divmod(number, 10)
    return _TENS[tens - 2] + (f"-{_SMALL[units]}" if units else "")
