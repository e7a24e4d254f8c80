"""Adaptive temperature scaling (ATS): a temperature of every token, from a model's hidden states.

Xie, Chen, Lee, Mitchell and Finn, *Calibrating Language Models with Adaptive Temperature Scaling*,
EMNLP 2024. A head is trained for one language model, on prompts with responses. docs/ats.md has the
formulas and what was measured.
"""

from thermometer.ats.calibrator import AtsCalibrator as AtsCalibrator
from thermometer.ats.calibrator import ResponseTokens as ResponseTokens
from thermometer.ats.data import Pair as Pair
from thermometer.ats.data import PairFormat as PairFormat
from thermometer.ats.data import TokenPair as TokenPair
from thermometer.ats.data import load_pairs as load_pairs
from thermometer.ats.network import AtsConfig as AtsConfig
from thermometer.ats.network import AtsHead as AtsHead
from thermometer.ats.training import AtsTraining as AtsTraining
from thermometer.ats.training import train as train
