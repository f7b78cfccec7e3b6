"""Promises under faults: a file is a harness, small in ``make test``, long in ``make soak``."""
