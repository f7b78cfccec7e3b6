"""The load generator: drives one system from several processes, and measures and checks it.

Knows no system: what it drives is a driver, named by module and class, so that a peer is measured
by the very code that measures us. `gapless bench` uses it against a running service, `bench/`
against every peer; it lies in the service because the command line does, and is imported by
nothing that serves.
"""
