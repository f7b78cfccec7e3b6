"""The SDK of gapless: clients in both colours, typed errors, and the generated stubs."""
