"""Streaming nets: `step` serves, `unroll` trains, both give the same."""
