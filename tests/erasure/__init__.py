"""Erasures: content that is gone from the state, from the log, and from every byte of the files."""
