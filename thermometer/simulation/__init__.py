"""Streams of confidences and outcomes whose truth is known, to test with and to plan by.

`simulate` makes a stream: segments with their own calibration, changes at known events, labels that
come late or never. `simulate_conversations` makes noisy confidences of keys that wander. Nothing
here knows what is done with the events.
"""

from thermometer.simulation.conversations import Conversations as Conversations
from thermometer.simulation.conversations import simulate_conversations as simulate_conversations
from thermometer.simulation.segments import CalibrationMap as CalibrationMap
from thermometer.simulation.segments import Segment as Segment
from thermometer.simulation.segments import map_with_ece as map_with_ece
from thermometer.simulation.streams import Change as Change
from thermometer.simulation.streams import Stream as Stream
from thermometer.simulation.streams import simulate as simulate
