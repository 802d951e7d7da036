"""bot4jax: live market ticks for a thousand symbols into risk-checked orders."""
