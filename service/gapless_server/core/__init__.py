"""Decides commands and keeps state; never waits, reads a clock, rolls dice or does I/O."""
