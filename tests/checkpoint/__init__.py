"""Checkpoints: what is restored from one, and that a log without one gives the same."""
