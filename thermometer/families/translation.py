"""Everyday words in Spanish, French, German and Italian.

Wrong options are other words of the same language, so that the form of a word does not tell.
Knows nothing about scoring.
"""

from collections.abc import Iterator
from random import Random

from thermometer.families._family import Family, Item, shuffled, table

family = Family("translation")

# English, Spanish, French, German, Italian
_WORDS = table("""
dog, perro, chien, Hund, cane
cat, gato, chat, Katze, gatto
horse, caballo, cheval, Pferd, cavallo
cow, vaca, vache, Kuh, mucca
bird, pájaro, oiseau, Vogel, uccello
pig, cerdo, cochon, Schwein, maiale
sheep, oveja, mouton, Schaf, pecora
house, casa, maison, Haus, casa
door, puerta, porte, Tür, porta
window, ventana, fenêtre, Fenster, finestra
chair, silla, chaise, Stuhl, sedia
bed, cama, lit, Bett, letto
key, llave, clé, Schlüssel, chiave
book, libro, livre, Buch, libro
bread, pan, pain, Brot, pane
water, agua, eau, Wasser, acqua
milk, leche, lait, Milch, latte
cheese, queso, fromage, Käse, formaggio
apple, manzana, pomme, Apfel, mela
egg, huevo, œuf, Ei, uovo
meat, carne, viande, Fleisch, carne
salt, sal, sel, Salz, sale
sugar, azúcar, sucre, Zucker, zucchero
wine, vino, vin, Wein, vino
beer, cerveza, bière, Bier, birra
sun, sol, soleil, Sonne, sole
moon, luna, lune, Mond, luna
star, estrella, étoile, Stern, stella
sky, cielo, ciel, Himmel, cielo
sea, mar, mer, Meer, mare
river, río, rivière, Fluss, fiume
mountain, montaña, montagne, Berg, montagna
tree, árbol, arbre, Baum, albero
flower, flor, fleur, Blume, fiore
fire, fuego, feu, Feuer, fuoco
snow, nieve, neige, Schnee, neve
rain, lluvia, pluie, Regen, pioggia
wind, viento, vent, Wind, vento
stone, piedra, pierre, Stein, pietra
island, isla, île, Insel, isola
hand, mano, main, Hand, mano
head, cabeza, tête, Kopf, testa
eye, ojo, œil, Auge, occhio
nose, nariz, nez, Nase, naso
mouth, boca, bouche, Mund, bocca
heart, corazón, cœur, Herz, cuore
hair, pelo, cheveux, Haar, capelli
tooth, diente, dent, Zahn, dente
blood, sangre, sang, Blut, sangue
tongue, lengua, langue, Zunge, lingua
brother, hermano, frère, Bruder, fratello
sister, hermana, sœur, Schwester, sorella
father, padre, père, Vater, padre
mother, madre, mère, Mutter, madre
son, hijo, fils, Sohn, figlio
daughter, hija, fille, Tochter, figlia
friend, amigo, ami, Freund, amico
king, rey, roi, König, re
queen, reina, reine, Königin, regina
doctor, médico, médecin, Arzt, medico
school, escuela, école, Schule, scuola
church, iglesia, église, Kirche, chiesa
city, ciudad, ville, Stadt, città
bridge, puente, pont, Brücke, ponte
train, tren, train, Zug, treno
ship, barco, bateau, Schiff, nave
money, dinero, argent, Geld, denaro
letter, carta, lettre, Brief, lettera
game, juego, jeu, Spiel, gioco
war, guerra, guerre, Krieg, guerra
peace, paz, paix, Frieden, pace
love, amor, amour, Liebe, amore
life, vida, vie, Leben, vita
death, muerte, mort, Tod, morte
world, mundo, monde, Welt, mondo
day, día, jour, Tag, giorno
night, noche, nuit, Nacht, notte
week, semana, semaine, Woche, settimana
year, año, an, Jahr, anno
summer, verano, été, Sommer, estate
winter, invierno, hiver, Winter, inverno
spring, primavera, printemps, Frühling, primavera
Monday, lunes, lundi, Montag, lunedì
red, rojo, rouge, rot, rosso
green, verde, vert, grün, verde
black, negro, noir, schwarz, nero
white, blanco, blanc, weiß, bianco
yellow, amarillo, jaune, gelb, giallo
big, grande, grand, groß, grande
small, pequeño, petit, klein, piccolo
good, bueno, bon, gut, buono
new, nuevo, nouveau, neu, nuovo
old, viejo, vieux, alt, vecchio
two, dos, deux, zwei, due
three, tres, trois, drei, tre
four, cuatro, quatre, vier, quattro
five, cinco, cinq, fünf, cinque
seven, siete, sept, sieben, sette
eight, ocho, huit, acht, otto
ten, diez, dix, zehn, dieci
hundred, cien, cent, hundert, cento
eat, comer, manger, essen, mangiare
drink, beber, boire, trinken, bere
sleep, dormir, dormir, schlafen, dormire
write, escribir, écrire, schreiben, scrivere
""")


@family.task(options=4)
def to_spanish(rng: Random) -> Iterator[Item]:
    """From English to Spanish."""
    return _items(rng, "What is the Spanish word for {}?", 0, 1)


@family.task(options=5)
def to_french(rng: Random) -> Iterator[Item]:
    """From English to French."""
    return _items(rng, "How do you say {} in French?", 0, 2)


@family.task(options=3)
def from_german(rng: Random) -> Iterator[Item]:
    """From German to English."""
    return _items(rng, "What does the German word {} mean?", 3, 0)


@family.task(options=4)
def from_italian(rng: Random) -> Iterator[Item]:
    """From Italian to English."""
    return _items(rng, "The Italian word {} means what?", 4, 0)


def _items(rng: Random, template: str, source: int, target: int) -> Iterator[Item]:
    targets = [row[target] for row in _WORDS]
    for row in shuffled(rng, _WORDS):
        yield template.format(row[source]), row[target], shuffled(rng, targets)
