"""The outside truth of every feature, by name."""

from tests.oracles import statistics

ORACLES = statistics.ORACLES
