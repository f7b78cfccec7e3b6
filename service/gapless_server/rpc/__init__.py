"""Translates between gRPC and the writer: parses, binds, streams, and puts errors on the wire."""
