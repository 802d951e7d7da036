"""Market data: where it comes from and in which shape it reaches the engine."""
