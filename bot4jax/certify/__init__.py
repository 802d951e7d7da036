"""Proof that what is served is what was defined, and that nothing reads ahead."""
