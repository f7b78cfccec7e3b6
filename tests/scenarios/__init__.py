"""The scenarios that must hold, over gRPC against a service on SQLite, a test and more for each."""
