"""What to do with an answer, given how sure it is: accept it, have it reviewed, or reject it.

`Bands` hold the thresholds, `Router` applies them with a memory per key, so that decisions do not
flicker. Thresholds are given, chosen by `guaranteed_threshold` from labelled data for a stated
risk, or follow from `Costs`.
"""

from thermometer.routing.costs import CostCheck as CostCheck
from thermometer.routing.costs import Costs as Costs
from thermometer.routing.guarantee import GuaranteedThreshold as GuaranteedThreshold
from thermometer.routing.guarantee import guaranteed_threshold as guaranteed_threshold
from thermometer.routing.guarantee import guaranteed_thresholds as guaranteed_thresholds
from thermometer.routing.guarantee import held_confidence as held_confidence
from thermometer.routing.router import Action as Action
from thermometer.routing.router import Bands as Bands
from thermometer.routing.router import Decision as Decision
from thermometer.routing.router import Router as Router
