"""Gradient-boosted trees: fitting, and two ways to predict."""
