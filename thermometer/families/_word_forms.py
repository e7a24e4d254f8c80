"""Word forms that go by no single rule. Knows nothing about questions."""

from thermometer.families._family import table, words

PLURALS = table("""
child, children; man, men; woman, women; foot, feet; tooth, teeth; goose, geese; mouse, mice
louse, lice; ox, oxen; sheep, sheep; deer, deer; moose, moose; aircraft, aircraft; series, series
species, species; crisis, crises; analysis, analyses; basis, bases; thesis, theses; oasis, oases
diagnosis, diagnoses; hypothesis, hypotheses; phenomenon, phenomena; criterion, criteria
bacterium, bacteria; stimulus, stimuli; alumnus, alumni; policeman, policemen; fireman, firemen
salesman, salesmen; grandchild, grandchildren; stepchild, stepchildren; Frenchman, Frenchmen
knife, knives; wife, wives; life, lives; leaf, leaves; wolf, wolves; shelf, shelves; half, halves
calf, calves; loaf, loaves; thief, thieves; elf, elves; self, selves; housewife, housewives
belief, beliefs; chief, chiefs; cliff, cliffs; chef, chefs; reef, reefs; giraffe, giraffes
baby, babies; city, cities; lady, ladies; party, parties; story, stories; country, countries
cherry, cherries; berry, berries; puppy, puppies; family, families; army, armies; spy, spies
fly, flies; diary, diaries; butterfly, butterflies; enemy, enemies; duty, duties; body, bodies
boy, boys; toy, toys; key, keys; monkey, monkeys; donkey, donkeys; day, days; valley, valleys
journey, journeys; turkey, turkeys; kidney, kidneys; box, boxes; fox, foxes; tax, taxes
church, churches; watch, watches; beach, beaches; witch, witches; bench, benches; brush, brushes
dish, dishes; wish, wishes; glass, glasses; dress, dresses; kiss, kisses; class, classes
bush, bushes; stomach, stomachs; monarch, monarchs; potato, potatoes; tomato, tomatoes
hero, heroes; echo, echoes; photo, photos; piano, pianos; radio, radios; studio, studios
video, videos; kangaroo, kangaroos; sandwich, sandwiches; address, addresses; mailman, mailmen
""")

PAST_TENSES = table("""
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
shoot, shot, shot; slide, slid, slid; mean, meant, meant; deal, dealt, dealt; creep, crept, crept
flee, fled, fled; pay, paid, paid; lay, laid, laid; bind, bound, bound; grind, ground, ground
wind, wound, wound; cut, cut, cut; put, put, put; hit, hit, hit; hurt, hurt, hurt
shut, shut, shut; set, set, set; let, let, let; cost, cost, cost; cast, cast, cast
""")

# adjective, stem of its comparative
ADJECTIVES = table("""
big, bigg; hot, hott; fat, fatt; thin, thinn; wet, wett; sad, sadd; red, redd; slim, slimm
fit, fitt; flat, flatt; happy, happi; funny, funni; easy, easi; busy, busi; heavy, heavi
early, earli; pretty, pretti; angry, angri; hungry, hungri; lucky, lucki; noisy, noisi
dirty, dirti; dusty, dusti; sunny, sunni; windy, windi; rainy, raini; cloudy, cloudi
lazy, lazi; crazy, crazi; silly, silli; ugly, ugli; tiny, tini; tidy, tidi; wealthy, wealthi
healthy, healthi; hairy, hairi; salty, salti; spicy, spici; juicy, juici; icy, ici; nice, nic
large, larg; late, lat; safe, saf; brave, brav; wise, wis; wide, wid; close, clos; strange, strang
rude, rud; ripe, rip; pale, pal; rare, rar; cute, cut; fine, fin; white, whit; tall, tall
short, short; long, long; old, old; young, young; cold, cold; warm, warm; cool, cool; fast, fast
slow, slow; strong, strong; weak, weak; high, high; low, low; deep, deep; hard, hard; soft, soft
loud, loud; clean, clean; cheap, cheap; rich, rich; poor, poor; smart, smart; kind, kind
dark, dark; light, light; bright, bright; sweet, sweet; sharp, sharp; thick, thick; new, new
small, small; great, great; near, near; full, full; quick, quick; smooth, smooth; tough, tough
clear, clear; dull, dull; rough, rough; steep, steep; wild, wild; bold, bold; weird, weird
""")

NEGATIONS = table("""
happy, un; fair, un; kind, un; lucky, un; usual, un; known, un; able, un; safe, un; clear, un
certain, un; common, un; healthy, un; likely, un; true, un; wise, un; tidy, un; popular, un
familiar, un; pleasant, un; reasonable, un; grateful, un; friendly, un; selfish, un; afraid, un
welcome, un; expected, un; limited, un; broken, un; married, un; employed, un; finished, un
important, un; necessary, un; realistic, un; successful, un; conscious, un; willing, un; even, un
acceptable, un; forgettable, un; believable, un; predictable, un; thinkable, un; harmed, un
possible, im; polite, im; patient, im; perfect, im; mature, im; moral, im; mortal, im; mobile, im
pure, im; probable, im; precise, im; personal, im; partial, im
modest, im; penetrable, im; proper, im; legal, il; logical, il; legible, il
literate, il; legitimate, il; licit, il; regular, ir; relevant, ir; responsible, ir; rational, ir
resistible, ir; reversible, ir; reparable, ir
correct, in; complete, in; visible, in; formal, in; dependent, in; direct, in; accurate, in
active, in; adequate, in; capable, in; competent, in; consistent, in; convenient, in; credible, in
decent, in; definite, in; edible, in; effective, in; efficient, in; expensive, in; flexible, in
sane, in; sensitive, in; significant, in; sufficient, in; tolerant, in; valid, in
honest, dis; loyal, dis; obedient, dis; respectful, dis; agreeable, dis; courteous, dis
""")

A_NOUNS = words("""
university uniform unicorn unit union user European useful eucalyptus utensil ukulele unique united
universal usual euro eulogy uranium ewe usable unicycle uniformed Ugandan Ukrainian dog house table
garden horse window bottle hammer hotel hill history teacher river market doctor yacht yard youth
year wheel hat helmet hospital planet lemon pencil wallet camera giant
""")
AN_NOUNS = words("""
hour honor heir honest hourly heirloom honorable umbrella uncle umpire urn usher ugly unhappy apple
orange egg island engine owl idea office answer insect artist elephant eagle onion argument animal
author arrow oven ocean engineer actor angel anchor ant elbow eel ounce object opera ulcer upper
unknown untidy uproar evening army enemy avenue
""")
