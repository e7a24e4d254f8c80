"""Verbs and their forms. Verbs with two accepted forms are left out. Knows no question."""

import re

from thermometer.families._family import table, words

# verb, past tense, past participle
IRREGULAR = table("""
go, went, gone; be, was, been; do, did, done; have, had, had; see, saw, seen; come, came, come
run, ran, run; eat, ate, eaten; drink, drank, drunk; give, gave, given; take, took, taken
make, made, made; say, said, said; tell, told, told; know, knew, known; think, thought, thought
bring, brought, brought; buy, bought, bought; catch, caught, caught; teach, taught, taught
fight, fought, fought; seek, sought, sought; find, found, found; feel, felt, felt
keep, kept, kept; sleep, slept, slept; sweep, swept, swept; weep, wept, wept; leave, left, left
meet, met, met; lead, led, led; feed, fed, fed; bleed, bled, bled; breed, bred, bred
lose, lost, lost; win, won, won; sit, sat, sat; stand, stood, stood; hold, held, held
hear, heard, heard; sell, sold, sold; send, sent, sent
spend, spent, spent; lend, lent, lent; bend, bent, bent; build, built, built; write, wrote, written
drive, drove, driven; ride, rode, ridden; rise, rose, risen; freeze, froze, frozen
speak, spoke, spoken; break, broke, broken; steal, stole, stolen; choose, chose, chosen
begin, began, begun; sing, sang, sung; ring, rang, rung; swim, swam, swum; fly, flew, flown
grow, grew, grown; blow, blew, blown; throw, threw, thrown; draw, drew, drawn; wear, wore, worn
swear, swore, sworn; tear, tore, torn; fall, fell, fallen; forget, forgot, forgotten
forgive, forgave, forgiven; bite, bit, bitten; hide, hid, hidden; shake, shook, shaken
mistake, mistook, mistaken; become, became, become; overcome, overcame, overcome
dig, dug, dug; stick, stuck, stuck; strike, struck, struck; swing, swung, swung
sting, stung, stung; cling, clung, clung; fling, flung, flung; spin, spun, spun
slide, slid, slid; mean, meant, meant; deal, dealt, dealt; creep, crept, crept
flee, fled, fled; pay, paid, paid; lay, laid, laid; bind, bound, bound; grind, ground, ground
wind, wound, wound; cut, cut, cut; put, put, put; hit, hit, hit; hurt, hurt, hurt
set, set, set; let, let, let; cost, cost, cost; cast, cast, cast
""")

_ONE_VOWEL_ONE_CONSONANT = re.compile("[^aeiou]*[aeiou][bdgklmnprt]")


def doubled(verb: str) -> str:
    """The stem before -ed and -ing, with its last consonant doubled where the spelling wants it."""
    return verb + verb[-1] if _ONE_VOWEL_ONE_CONSONANT.fullmatch(verb) else verb


def regular_past(verb: str) -> str:
    """The past tense by rule.

    >>> [regular_past(verb) for verb in ("walk", "bake", "try", "play", "stop")]
    ['walked', 'baked', 'tried', 'played', 'stopped']
    """
    if verb.endswith("e"):
        return f"{verb}d"
    if re.search("[^aeiou]y$", verb):
        return f"{verb[:-1]}ied"
    return f"{doubled(verb)}ed"


def ing(verb: str) -> str:
    """The form in -ing by rule.

    >>> [ing(verb) for verb in ("walk", "bake", "try", "run")]
    ['walking', 'baking', 'trying', 'running']
    """
    return f"{verb[:-1]}ing" if verb.endswith("e") else f"{doubled(verb)}ing"


REGULAR = words("""
walk talk jump play cook clean wash watch look help ask answer call open close move live love like
hate want need use work wait start finish visit listen laugh smile dance paint rain stay try cry
carry study marry hurry worry copy stop plan drop hug clap shop beg rob chat slip trip nod skip tap
wrap grab pat push pull kick pick pack park point pour press print promise reach rest save share
shout sign sound taste test thank touch turn type vote warn wish
""")
MORE_REGULAR = words("""
arrive bake believe borrow breathe brush camp change cheer chew climb collect comb count cover cross
deny empty enjoy explain fail fill fix follow fry guess hope hunt invite join jog kiss knock
land last lock mail melt mix name obey order own
pray protect raise receive remember repeat return roll row sail scream search serve smoke stare
step suggest trust unlock waste whistle yell zip
""")
FOR_ING = words("""
run swim sit get put cut hit win dig let set spin bat hop hum jam log map mop pet pin rub
sip ban bet make take give write drive ride come have hide bite shake wake rise choose leave lose
dine argue erase freeze chase blame judge wipe vary bury reply apply rely fly buy say pay go do eat
drink sing sleep speak read send meet feel find hold hear keep know build break bring catch teach
think throw grow draw fall feed fight sweep lend stand wear sell tell spend bend
""")
