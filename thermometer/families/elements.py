"""The chemical elements up to number 100: symbols and atomic numbers, asked both ways.

Knows nothing about scoring.
"""

from collections.abc import Iterator
from random import Random

from thermometer.families._family import Family, Item, near, shuffled, words

family = Family("elements")

# in the order of their atomic numbers
_SYMBOLS = words("""
H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb
Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu
Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm
""")
_NAMES = words("""
hydrogen helium lithium beryllium boron carbon nitrogen oxygen fluorine neon sodium magnesium
aluminum silicon phosphorus sulfur chlorine argon potassium calcium scandium titanium vanadium
chromium manganese iron cobalt nickel copper zinc gallium germanium arsenic selenium bromine krypton
rubidium strontium yttrium zirconium niobium molybdenum technetium ruthenium rhodium palladium
silver cadmium indium tin antimony tellurium iodine xenon cesium barium lanthanum cerium
praseodymium neodymium promethium samarium europium gadolinium terbium dysprosium holmium erbium
thulium ytterbium lutetium hafnium tantalum tungsten rhenium osmium iridium platinum gold mercury
thallium lead bismuth polonium astatine radon francium radium actinium thorium protactinium uranium
neptunium plutonium americium curium berkelium californium einsteinium fermium
""")


@family.task(options=4)
def symbol(rng: Random) -> Iterator[Item]:
    """From name to symbol; wrong options start like the name."""
    for index in shuffled(rng, range(100)):
        name = _NAMES[index]
        alike = [text for text in _SYMBOLS if text[0] == _SYMBOLS[index][0]]
        alike += [text for text in _SYMBOLS if text[0] == name[0].upper()] + [name[:2].title()]
        wrong = shuffled(rng, alike) + shuffled(rng, _SYMBOLS)
        yield f"What is the chemical symbol for {name}?", _SYMBOLS[index], wrong


@family.task(options=4)
def name_of_symbol(rng: Random) -> Iterator[Item]:
    """From symbol to name; wrong options start like the symbol."""
    for index in shuffled(rng, range(100)):
        initial = _SYMBOLS[index][0].lower()
        alike = shuffled(rng, [name for name in _NAMES if name[0] == initial])[:2]
        wrong = alike + shuffled(rng, _NAMES)
        yield f"Which element has the symbol {_SYMBOLS[index]}?", _NAMES[index], wrong


@family.task(options=4)
def atomic_number(rng: Random) -> Iterator[Item]:
    """From name to atomic number; wrong options are close."""
    for index in shuffled(rng, range(100)):
        wrong = near(rng, index + 1, (1, 2, 3, 8, 10), floor=1)
        yield f"What is the atomic number of {_NAMES[index]}?", str(index + 1), wrong


@family.task(options=3)
def name_of_number(rng: Random) -> Iterator[Item]:
    """From atomic number to name; wrong options are close."""
    for index in shuffled(rng, range(100)):
        places = map(int, near(rng, index, (1, 2, 3, 8, 10)))
        wrong = [_NAMES[place] for place in places if place < 100]
        yield f"Which element has atomic number {index + 1}?", _NAMES[index], wrong
