"""Fuzzing: damaged and senseless messages, and what the service may answer to them."""
