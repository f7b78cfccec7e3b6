"""The gapless service: one writer a namespace, an append-only log, gRPC in front of it."""
