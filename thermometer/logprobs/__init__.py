"""Black-box models: option probabilities from the log-probabilities that a server returns.

`option_probabilities` reads the likeliest tokens of a reply; `continuation_scores` the prompt's own
tokens, where a server gives these. Both make scores that every calibrator takes;
`calibrate_responses` goes from replies to calibrated probabilities.
"""

from thermometer.logprobs.calibrating import calibrate_responses as calibrate_responses
from thermometer.logprobs.continuations import continuation_logprob as continuation_logprob
from thermometer.logprobs.continuations import continuation_scores as continuation_scores
from thermometer.logprobs.formats import reply_positions as reply_positions
from thermometer.logprobs.probabilities import OptionProbabilities as OptionProbabilities
from thermometer.logprobs.probabilities import option_probabilities as option_probabilities
from thermometer.logprobs.spelling import OptionTexts as OptionTexts
