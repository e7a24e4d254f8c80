"""Opposed word fields: words that mean much the same, and their opposites.

No word stands in two fields of a kind, and fields whose words come close to each other were not
both taken, so that a word of another field is never a second right answer. Knows no question.
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
_QUALITIES = """
thick / thin
rough / smooth
tall / short
first / last
left / right
inner / outer
upper / lower
male / female
single / married
visible / invisible
possible / impossible
patient / impatient
honest / dishonest
legal / illegal
lucky fortunate / unlucky unfortunate
fair / unfair
mature / immature
formal / informal casual
permanent / temporary
artificial / natural
optional voluntary / mandatory compulsory
positive / negative
major / minor
senior / junior
foreign / domestic
urban / rural
vertical / horizontal
fresh / stale
lazy / hardworking
arrogant / humble
cruel / kind
healthy / ill sick
careful cautious / careless reckless
interesting fascinating / boring
common / rare
similar / different
complete / incomplete
conscious / unconscious
ripe / unripe
solid / liquid
tidy neat / messy
flexible / rigid
drunk / sober
absent / present
literal / figurative
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
agree / disagree
freeze / melt thaw
lengthen / shorten
strengthen / weaken
tighten / loosen
import / export
encourage / discourage
trust / distrust
inhale / exhale
whisper / shout yell
accelerate / decelerate
obey / disobey
include / exclude
wrap / unwrap
inflate / deflate
multiply / divide
follow / lead
load / unload
maximize / minimize
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
east / west
strength / weakness
wealth / poverty
beauty / ugliness
freedom / slavery
knowledge / ignorance
guest / host
buyer / seller
ancestor / descendant
courage bravery / cowardice
joy happiness / sorrow sadness
health / illness sickness
sunrise / sunset
majority / minority
maximum / minimum
advantage / disadvantage
winner / loser
optimist / pessimist
amateur / professional
future / past
child / adult
presence / absence
safety / danger
innocence / guilt
front / back
"""


def _read(text: str) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
    sides = (line.split(" / ") for line in text.strip().splitlines())
    return tuple((tuple(left.split()), tuple(right.split())) for left, right in sides)


FIELDS = {
    "adjective": _read(_ADJECTIVES),
    "quality": _read(_QUALITIES),
    "verb": _read(_VERBS),
    "noun": _read(_NOUNS),
}
