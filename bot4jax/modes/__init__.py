"""What `python -m bot4jax.run mode=…` does: one file a mode, and what they share."""
