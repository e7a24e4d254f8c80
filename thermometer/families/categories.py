"""What kind of thing something is: fish, bird, tool, tree and so on.

Knows nothing about scoring; the members stand here because nobody else needs them.
"""

from collections.abc import Iterator
from random import Random

from thermometer.families._family import Family, Item, a, balanced, shuffled

family = Family("categories")

_MEMBERS = {
    "fish": "trout salmon tuna shark cod herring carp halibut sardine eel mackerel haddock",
    "bird": "robin sparrow eagle owl parrot crow pigeon penguin swan hawk ostrich pelican",
    "insect": "ant bee wasp beetle butterfly moth mosquito fly cricket grasshopper cockroach flea",
    "tree": "oak pine maple willow birch elm fir spruce redwood cedar poplar beech",
    "flower": "rose tulip daisy lily daffodil violet orchid sunflower carnation poppy marigold",
    "fruit": "apple banana pear grape peach strawberry mango lemon cherry pineapple plum melon",
    "vegetable": "carrot onion cabbage beet parsnip potato turnip artichoke lettuce leek radish",
    "tool": "hammer saw screwdriver wrench drill chisel pliers trowel shovel rake mallet crowbar",
    "vehicle": "car truck bus bicycle motorcycle van tractor tram taxi ambulance train scooter",
    "instrument": "violin piano guitar flute trumpet drum harp clarinet cello trombone oboe banjo",
    "garment": "shirt coat skirt sweater jacket dress sock hat scarf glove blouse vest",
    "weapon": "sword gun rifle spear pistol dagger cannon crossbow bomb grenade missile musket",
    "building": "church castle hospital school museum temple library palace hotel factory barn",
}
_KINDS = {name: members.split() for name, members in _MEMBERS.items()}
_ITEMS = [(kind, word) for kind, members in _KINDS.items() for word in members]
_ALIKE = (("tree", "flower", "fruit", "vegetable"), ("tool", "weapon", "instrument"))


@family.task(options=5)
def kind(rng: Random) -> Iterator[Item]:
    """The category of a thing."""
    for right, word in shuffled(rng, _ITEMS):
        yield f"What kind of thing is {_a(word)}?", right, shuffled(rng, _unlike(right))


@family.task(options=2)
def is_a(rng: Random) -> Iterator[Item]:
    """Whether a thing belongs to a category."""
    true = [(word, name, "yes") for name, word in _ITEMS]
    false = [(word, rng.choice(_unlike(name)), "no") for name, word in _ITEMS]
    for word, name, right in balanced(rng, true, false):
        yield f"Is {_a(word)} {a(name)}?", right, ["yes", "no"]


@family.task(options=4)
def odd_one_out(rng: Random) -> Iterator[Item]:
    """The one of four things that is of another category."""
    for name, right in shuffled(rng, _ITEMS) * 3:
        other = rng.choice(_unlike(name))
        wrong = rng.sample(_KINDS[other], 3)
        shown = ", ".join(shuffled(rng, [right, *wrong]))
        yield f"Which one does not belong: {shown}?", right, wrong


@family.task(options=3)
def same_kind(rng: Random) -> Iterator[Item]:
    """Another member of the category of a thing."""
    for name, word in shuffled(rng, _ITEMS):
        right = rng.choice([other for other in _KINDS[name] if other != word])
        wrong = [other for kind, other in shuffled(rng, _ITEMS) if kind in _unlike(name)]
        yield f"Which is {a(name)}, like {_a(word)}?", right, wrong


def _unlike(name: str) -> list[str]:
    """The categories that share no member with this one even in a loose sense."""
    alike = next((group for group in _ALIKE if name in group), (name,))
    return [other for other in _KINDS if other not in alike]


def _a(word: str) -> str:
    """With an article, except for words that are only plural."""
    return word if word == "pliers" else a(word)
