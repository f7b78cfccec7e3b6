"""Keeps the state of a log on disk as of some position; derived, and thrown away at will."""
