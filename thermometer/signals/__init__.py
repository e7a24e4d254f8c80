"""How sure a model is of an answer, by other signs than the scores of options.

Each is a function of a language model, questions and answers, and gives one number for each answer,
larger where the model is surer, NaN where there is no sign. None is a probability to believe as it
stands: recalibrate one with `recalibrators`, or several with `ensemble.SignalEnsemble`.
"""

from thermometer.signals.answers import Scale as Scale
from thermometer.signals.answers import Stated as Stated
from thermometer.signals.answers import largest_probability as largest_probability
from thermometer.signals.answers import margin as margin
from thermometer.signals.answers import option_certainty as option_certainty
from thermometer.signals.answers import p_true as p_true
from thermometer.signals.answers import read_confidence as read_confidence
from thermometer.signals.answers import sequence_probability as sequence_probability
from thermometer.signals.answers import stated_confidence as stated_confidence
from thermometer.signals.consistency import Consistency as Consistency
from thermometer.signals.consistency import consistency as consistency
from thermometer.signals.consistency import same_words as same_words
