"""The outside truth of every feature, by name."""

from tests.oracles import (
    cross,
    fractal,
    frequency,
    information,
    microstructure,
    order_flow,
    statistics,
    technical,
    volatility,
    wavelets,
)

ORACLES = (
    statistics.ORACLES
    | frequency.ORACLES
    | wavelets.ORACLES
    | microstructure.ORACLES
    | order_flow.ORACLES
    | fractal.ORACLES
    | information.ORACLES
    | technical.ORACLES
    | volatility.ORACLES
    | cross.ORACLES
)
