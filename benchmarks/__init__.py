"""How long things take. `python -m benchmarks.run` says how to ask."""
