"""Nouns of several fields with their plurals. Knows nothing about questions.

A plural stands after a colon where no spelling rule gives it; nouns with two are left out.
"""

import re


def _read(text: str) -> tuple[tuple[str, str], ...]:
    pairs = (entry.partition(":") for entry in text.split())
    return tuple((noun, plural or _regular(noun)) for noun, _, plural in pairs)


def _regular(noun: str) -> str:
    if re.search("(s|x|z|ch|sh)$", noun):
        return f"{noun}es"
    if re.search("[^aeiou]y$", noun):
        return f"{noun[:-1]}ies"
    return f"{noun}s"


ANIMALS = _read("""
goose:geese mouse:mice louse:lice sheep:sheep deer:deer moose:moose ox:oxen bison:bison
dormouse:dormice wolf:wolves calf:calves fox finch ostrich cockroach leech albatross thrush
walrus pony puppy bunny fly butterfly canary ladybug firefly dragonfly guppy donkey turkey monkey
dog cat horse cow pig goat lion tiger bear rabbit elephant giraffe zebra whale kangaroo rat
squirrel camel seal hedgehog otter eagle owl sparrow duck swan chicken penguin parrot hawk snake
lizard turtle frog toad shark eel ant bee wasp beetle spider snail worm crab lobster clam mongoose
hyena husky bullfinch cockatoo chimpanzee panda koala sparrowhawk
""")
THINGS = _read("""
aircraft:aircraft spacecraft:spacecraft hovercraft:hovercraft knife:knives shelf:shelves
bookshelf:bookshelves penknife:penknives box watch brush dish glass dress bench match couch
torch switch wrench mattress compass paintbrush toothbrush mailbox crutch latch stopwatch diary
battery trophy dictionary factory library bakery ferry gallery tray chimney pulley key toy trolley
studio video radio stereo piano photo table chair lamp book pencil bottle car road bridge house
window door hammer phone boat ring shirt hat coat pillow blanket clock candle camera ticket basket
roof tax ax:axes bell spoon fork bucket nail sandbox lunchbox matchbox hatch cross
""")
PEOPLE_AND_FOOD = _read("""
man:men woman:women child:children wife:wives thief:thieves policeman:policemen fireman:firemen
salesman:salesmen housewife:housewives grandchild:grandchildren stepchild:stepchildren
Frenchman:Frenchmen gentleman:gentlemen fisherman:fishermen midwife:midwives loaf:loaves baby lady
boy girl teacher doctor king queen princess actress waitress witch boss coach hero:heroes spy
enemy bully nanny buddy attorney chef monarch:monarchs uncle aunt cousin nephew niece nurse farmer
guest potato:potatoes tomato:tomatoes cherry berry strawberry blueberry raspberry peach radish
sandwich cookie apple banana orange egg onion carrot lemon grape sausage pancake pie cake pickle
candy pastry muffin bean nut pea turnip nectarine walnut waffle olive
""")
NATURE_AND_IDEAS = _read("""
foot:feet tooth:teeth leaf:leaves half:halves life:lives crisis:crises analysis:analyses
basis:bases thesis:theses oasis:oases diagnosis:diagnoses hypothesis:hypotheses
phenomenon:phenomena criterion:criteria bacterium:bacteria stimulus:stimuli series:series
species:species echo:echoes valley day journey sky city country county body story party army duty
family holiday century victory beach bush branch wish kiss class address speech eyelash patch
stomach:stomachs epoch:epochs belief reef cliff tree river mountain cloud star planet island
sea lake hill forest desert cave hand eye ear arm leg knee nose elbow kidney fight idea song week
month year color name number language memory mystery tragedy galaxy colony disease storm
""")
