"""Tests of the SDK: what it decides, and how it behaves against a service that misbehaves."""
