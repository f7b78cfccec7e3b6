"""Tests: each says by its name which promise it holds."""
