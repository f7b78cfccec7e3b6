"""The writer without gRPC: rounds, request ids, what is visible when, limits and failures."""
