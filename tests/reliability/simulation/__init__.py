"""Runs clients and service in one thread, on a simulated machine that one seed decides."""
