"""Several signals of how sure a model is, made into one confidence."""

from thermometer.ensemble.signal_ensemble import SignalEnsemble as SignalEnsemble
from thermometer.ensemble.signal_ensemble import Weights as Weights
