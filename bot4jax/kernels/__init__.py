"""Numeric kernels: bars, features, vote, sizing. Importing it fills the catalogue."""

from bot4jax.kernels import statistics
from bot4jax.registry import CATALOGUE, catalogue_hash

__all__ = ["CATALOGUE", "catalogue_hash", "statistics"]
