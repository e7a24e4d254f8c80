"""Letters of words: the first, the second, the third, the last.

Hard for models that read tokens instead of letters. The tasks share no words. Knows nothing about
scoring.
"""

from collections.abc import Iterator
from random import Random

from thermometer.families._family import Family, Item, shuffled, words

family = Family("letters")

_WORDS = words("""
actor album amber anchor apple apron arm arrow autumn axe badge bag bakery banana barrel basket bat
beach bear beard bed bell belt bike bird bishop blanket blossom boat bone book boot bottle bottom
bowl box bracket branch bread breeze bridge bronze brother bubble bucket bus butter button cabin
cactus cake camera candle canyon captain car carpet castle cat cellar century chair chapter cheese
cherry chimney circle city clay cloud clover coach coat coffee collar comet copper coral corn
corner cotton cousin cow crab cradle crow crystal cup curtain cushion daisy deer desert desk dinner
doctor dog dolphin donkey door dragon drawer drawing dream drop drum duck eagle ear elbow emerald
engine envelope evening fabric falcon family farm farmer feather fence fiddle finger fire fish flag
flower forest fork fountain fox friend frog galaxy game garden garlic gate giraffe glass goat
goblet gold grape gravel guitar hair hammer hand harbor hat hazel helmet hen hermit hill home honey
hook horse hotel hunter island ivory jacket jam jewel jungle kettle key king kitchen kite knight
ladder lake lamp lantern lawyer leaf leather leg lemon letter lion lizard locket magnet marble
market meadow meteor milk mint mirror monkey moon morning mother mountain mustard nail napkin
needle nephew nest nose number nurse ocean office olive onion orange orchard oven owl oyster
painter palace panther paper parade park parrot pastry pear pebble pen pencil pepper picture pig
pigeon pillow pirate planet plaster plum pocket pond potato powder prairie prince puzzle quarter
rabbit rain rainbow ribbon ring river road rocket rope rose ruler saddle sailor salt sand sandal
school season seat secret seed shadow shelter ship shoe shop signal silver sister sky snow soap
sock soldier song spider spoon spring square star station statue stone summer sun sunset swallow
table tail tailor teacher temple tent thread thunder ticket tiger tomato tower train tree tunnel
turtle umbrella uncle valley velvet village violin wagon wall walnut wasp water weather whistle
wind window wing winter wizard wolf wood yellow zebra
""")
_ALPHABET = "abcdefghijklmnopqrstuvwxyz"


@family.task(options=4)
def first(rng: Random) -> Iterator[Item]:
    """The first letter."""
    return _items(rng, "What is the first letter of {}?", 0, 0)


@family.task(options=4)
def second(rng: Random) -> Iterator[Item]:
    """The second letter."""
    return _items(rng, "What is the second letter of {}?", 1, 1)


@family.task(options=3)
def third(rng: Random) -> Iterator[Item]:
    """The third letter."""
    return _items(rng, "Which letter is third in the word {}?", 2, 2)


@family.task(options=5)
def last(rng: Random) -> Iterator[Item]:
    """The last letter."""
    return _items(rng, "Which letter does {} end with?", -1, 3)


def _items(rng: Random, template: str, place: int, part: int) -> Iterator[Item]:
    """Every fourth word; wrong options are its other letters, then any."""
    for word in shuffled(rng, _WORDS[part::4]):
        wrong = shuffled(rng, sorted(set(word))) + shuffled(rng, _ALPHABET)
        yield template.format(word), word[place], wrong
