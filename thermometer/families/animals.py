"""Animals: their class, their legs, their size, their young and other names.

Knows nothing about scoring.
"""

from collections.abc import Iterator
from random import Random

from thermometer.families._family import Family, Item, a, grid, shuffled, table, words

family = Family("animals")

_CLASSES = {
    "mammal": """
    dog cat horse cow pig sheep goat lion tiger bear wolf fox rabbit deer elephant giraffe zebra
    monkey whale dolphin bat kangaroo mouse rat squirrel camel hippo seal hedgehog otter""",
    "bird": """
    eagle owl sparrow robin duck goose swan chicken turkey penguin ostrich parrot pigeon crow hawk
    falcon flamingo pelican stork peacock woodpecker hummingbird seagull swallow""",
    "reptile": """
    snake lizard crocodile alligator turtle tortoise gecko iguana chameleon cobra python viper""",
    "amphibian": "frog toad newt salamander bullfrog",
    "fish": """
    trout salmon tuna shark cod herring carp pike sardine eel goldfish seahorse piranha stingray""",
    "insect": """
    ant bee wasp beetle butterfly moth mosquito fly cricket grasshopper cockroach flea ladybug
    dragonfly termite bumblebee""",
}
_CLASS_OF = [(name, word) for name, members in _CLASSES.items() for word in members.split()]
_LEGS = (
    (0, "snake cobra python viper worm snail slug whale dolphin trout salmon shark tuna eel carp"),
    (2, "eagle owl sparrow robin duck goose swan chicken turkey penguin ostrich parrot"),
    (2, "pigeon crow hawk falcon flamingo pelican stork peacock woodpecker"),
    (4, "dog cat horse cow pig sheep goat lion tiger bear wolf fox rabbit deer elephant giraffe"),
    (4, "zebra mouse rat camel hippo lizard crocodile turtle tortoise frog toad newt donkey"),
    (
        4,
        "hedgehog otter squirrel rhino leopard cheetah buffalo moose llama hamster hyena panda gnu",
    ),
    (6, "ant bee wasp beetle butterfly moth mosquito fly cricket grasshopper cockroach flea"),
    (6, "ladybug dragonfly termite bumblebee hornet firefly"),
    (8, "spider tarantula scorpion tick"),
)
# from small to large; neighbours in the list are never compared
_SIZES = words("""
flea ant bee mouse sparrow rat squirrel rabbit cat fox goat wolf lion horse rhino elephant whale
""")
# which, animal, its name, other names in use (never offered as wrong)
_NAMES = table("""
young, cat, kitten; young, dog, puppy, pup; young, cow, calf; young, horse, foal, colt, filly
young, sheep, lamb; young, goat, kid; young, pig, piglet; young, duck, duckling, chick
young, goose, gosling, chick; young, swan, cygnet, chick; young, chicken, chick
young, rat, pup, kitten; young, eagle, eaglet, chick; young, walrus, calf, pup
young, owl, owlet, chick; young, frog, tadpole; young, kangaroo, joey; young, bear, cub
young, lion, cub; young, tiger, cub; young, leopard, cub; young, panda, cub; young, wolf, pup, cub
young, seal, pup; young, deer, fawn, calf; young, elephant, calf; young, whale, calf
young, dolphin, calf, pup; young, giraffe, calf; young, rhino, calf; young, hippo, calf
young, buffalo, calf; young, camel, calf; young, moose, calf; young, donkey, foal, colt, filly
young, zebra, foal; young, koala, joey, cub; young, wallaby, joey; young, hare, leveret
young, spider, spiderling; young, fish, fry, hatchling, smolt, elver
young, bat, pup; young, eel, elver
young, turkey, poult, chick; young, pigeon, squab, chick; young, hedgehog, hoglet, pup
young, butterfly, caterpillar; young, fly, maggot; young, salmon, smolt, fry
young, llama, cria; young, otter, pup, kitten; young, penguin, chick
young, peacock, peachick, chick
female, lion, lioness; female, tiger, tigress; female, leopard, leopardess; female, horse, mare
female, sheep, ewe; female, pig, sow; female, chicken, hen; female, fox, vixen
female, deer, doe, hind, cow; female, goat, nanny, doe; female, cat, queen, molly
female, donkey, jenny; female, swan, pen; female, elephant, cow; female, whale, cow
female, rabbit, doe; female, hare, doe; female, bear, sow; female, buffalo, cow
female, turkey, hen; female, pheasant, hen; female, zebra, mare; female, moose, cow
female, seal, cow
male, horse, stallion; male, sheep, ram; male, pig, boar, hog; male, chicken, rooster, cock
male, deer, stag, buck, bull; male, duck, drake; male, goose, gander; male, cat, tom
male, goat, billy, buck, ram; male, swan, cob; male, turkey, tom, cock, rooster
male, elephant, bull; male, whale, bull; male, rabbit, buck; male, hare, jack, buck
male, donkey, jack; male, bee, drone; male, bear, boar; male, buffalo, bull; male, moose, bull
male, seal, bull
male, zebra, stallion; male, kangaroo, boomer, buck, jack; male, pheasant, cock, rooster
""")


@family.task(options=5)
def class_of(rng: Random) -> Iterator[Item]:
    """Mammal, bird, reptile, amphibian, fish or insect."""
    for name, word in shuffled(rng, _CLASS_OF):
        yield f"What class of animal is {a(word)}?", name, shuffled(rng, list(_CLASSES))


@family.task(options=4)
def legs(rng: Random) -> Iterator[Item]:
    """How many legs."""
    pairs = [(count, word) for count, animals in _LEGS for word in animals.split()]
    for count, word in shuffled(rng, pairs):
        wrong = shuffled(rng, [str(number) for number in range(0, 10, 2)])
        yield f"How many legs does {a(word)} have?", str(count), wrong


@family.task(options=2)
def bigger(rng: Random) -> Iterator[Item]:
    """The bigger of two animals."""
    for small, big in grid(rng, range(len(_SIZES)), range(len(_SIZES))):
        if big - small > 1:
            one, other = shuffled(rng, [_SIZES[small], _SIZES[big]])
            yield f"Which is bigger, {a(one)} or {a(other)}?", _SIZES[big], [_SIZES[small]]


@family.task(options=4)
def name(rng: Random) -> Iterator[Item]:
    """The name of the young, the female or the male."""
    for which, animal, right, *also in shuffled(rng, _NAMES):
        rows = shuffled(rng, _NAMES)
        rows.sort(key=lambda row: row[0] != which)
        wrong = [row[2] for row in rows if row[2] not in also]
        yield f"What is a {which} {animal} called?", right, wrong
