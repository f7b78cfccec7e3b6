"""Keeps logs outside of a service and makes namespaces of them again; serves nobody itself."""
