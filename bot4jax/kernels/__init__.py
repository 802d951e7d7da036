"""Numeric kernels: bars, features, vote, sizing. Importing it fills the catalogue."""

from bot4jax.kernels import (
    autocorrelation,
    cross,
    fractal,
    frequency,
    information,
    liquidity,
    microstructure,
    order_flow,
    pressure,
    statistics,
    technical,
    toxicity,
    trend,
    volatility,
    wavelets,
)
from bot4jax.registry import CATALOGUE, catalogue_hash

__all__ = [
    "CATALOGUE",
    "autocorrelation",
    "catalogue_hash",
    "cross",
    "fractal",
    "frequency",
    "information",
    "liquidity",
    "microstructure",
    "order_flow",
    "pressure",
    "statistics",
    "technical",
    "toxicity",
    "trend",
    "volatility",
    "wavelets",
]
