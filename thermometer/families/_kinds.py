"""Things sorted into kinds, in four groups. Knows nothing about questions.

Words that could stand for two kinds of a group are left out.
"""


def _read(text: str) -> dict[str, tuple[str, ...]]:
    lines = (line.split(": ") for line in text.strip().splitlines())
    return {kind: tuple(members.split()) for kind, members in lines}


ANIMALS = _read("""
mammal: dog cat horse cow pig sheep goat lion bear wolf fox rabbit deer giraffe zebra camel kangaroo
bird: robin sparrow eagle owl parrot crow pigeon penguin swan hawk ostrich goose stork falcon
fish: trout salmon tuna shark cod herring carp halibut sardine eel mackerel haddock pike piranha
insect: ant bee wasp beetle butterfly moth mosquito cricket cockroach flea termite hornet
reptile: snake lizard crocodile alligator turtle tortoise gecko iguana chameleon cobra python viper
amphibian: frog toad newt salamander bullfrog axolotl
crustacean: crab lobster shrimp prawn crayfish barnacle krill
""")
FOOD = _read("""
fruit: apple banana pear peach mango cherry plum strawberry pineapple papaya kiwi apricot grape
vegetable: carrot onion cabbage beet parsnip turnip lettuce spinach broccoli cauliflower leek radish
drink: coffee tea lemonade cola beer wine whiskey vodka rum gin champagne espresso soda
meat: beef pork ham bacon lamb veal steak venison mutton salami sausage
cheese: cheddar mozzarella brie parmesan gouda feta camembert ricotta gorgonzola
spice: cinnamon nutmeg paprika turmeric cumin cardamom saffron cloves
grain: wheat rice barley oats sorghum millet
nut: almond walnut cashew pecan hazelnut pistachio
dessert: cake pie pudding cheesecake tiramisu brownie
""")
OBJECTS = _read("""
tool: hammer saw screwdriver wrench drill chisel trowel shovel rake mallet crowbar spanner
vehicle: car truck bus bicycle motorcycle van tractor tram taxi ambulance train scooter
instrument: violin piano guitar flute trumpet harp clarinet cello trombone oboe banjo
garment: shirt coat skirt sweater jacket dress sock hat scarf glove blouse vest
weapon: sword gun rifle spear pistol dagger cannon crossbow bomb grenade missile musket
building: church castle hospital school museum temple library palace hotel factory barn tower
furniture: chair sofa desk bed bookcase cupboard wardrobe stool bench armchair table dresser
container: bucket basket barrel box bag bottle jar jug suitcase crate
""")
IDEAS = _read("""
profession: plumber teacher doctor nurse lawyer carpenter farmer baker pilot tailor butcher judge
sport: football tennis hockey golf rugby baseball basketball boxing swimming volleyball badminton
disease: malaria measles influenza cholera diabetes asthma tuberculosis mumps pneumonia leprosy
language: French German Spanish Italian Russian Arabic Hindi Japanese Swedish Turkish Portuguese
science: physics chemistry biology geology astronomy botany zoology ecology genetics
emotion: anger joy fear sadness grief envy jealousy disgust happiness
metal: iron zinc aluminum nickel tin titanium chromium tungsten magnesium uranium
color: red blue green yellow purple brown pink black white gray
tree: oak pine maple willow birch elm spruce cedar poplar
flower: tulip daisy daffodil orchid sunflower carnation marigold lily
""")
_ALIKE = (("tool", "weapon"), ("fruit", "nut"))


def others(kinds: dict[str, tuple[str, ...]], kind: str) -> list[str]:
    """The kinds of the group that share no member with this one even in a loose sense."""
    alike = next((group for group in _ALIKE if kind in group), (kind,))
    return [other for other in kinds if other not in alike]
