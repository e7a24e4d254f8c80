"""Opposed word fields: words that mean much the same, and their opposites.

No word stands in two fields, and fields whose words come close to each other were not both
taken, so that a word of another field is never a second right answer. Knows no question.
"""

_ADJECTIVES = """
big large / small little
hot / cold
fast quick / slow
happy glad / unhappy sad
rich wealthy / poor
old ancient / new modern
easy simple / difficult hard
full / empty
wet / dry
clean / dirty filthy
loud noisy / quiet silent
brave courageous / cowardly
smart clever / stupid foolish
right correct / wrong incorrect
early / late
near nearby / far distant
deep / shallow
sharp / blunt
beautiful pretty / ugly
safe secure / dangerous risky
expensive costly / cheap
guilty / innocent
public / private
polite courteous / impolite rude
generous / stingy
asleep / awake
alive living / dead
heavy / light
sweet / bitter
tight / loose
narrow / wide broad
strong powerful / weak feeble
curved bent / straight
raw uncooked / cooked
famous renowned / unknown obscure
calm relaxed / nervous anxious
"""
_VERBS = """
buy purchase / sell
start begin / stop finish
win / lose
push / pull
open / shut
love adore / hate despise
laugh / cry weep
build construct / destroy demolish
arrive / depart leave
rise ascend / fall descend
allow permit / forbid prohibit
remember / forget
add / subtract
attack / defend
praise / criticize
lend / borrow
hire employ / fire dismiss
spend / save
hide conceal / reveal
"""
_NOUNS = """
day / night
friend / enemy foe
war / peace
truth / lie
entrance / exit
victory triumph / defeat
question / answer reply
profit / loss
north / south
heaven / hell
top / bottom
increase / decrease
birth / death
master / servant
hero / villain
summer / winter
teacher instructor / student pupil
"""


def _read(text: str) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
    sides = (line.split(" / ") for line in text.strip().splitlines())
    return tuple((tuple(left.split()), tuple(right.split())) for left, right in sides)


FIELDS = {"adjective": _read(_ADJECTIVES), "verb": _read(_VERBS), "noun": _read(_NOUNS)}
