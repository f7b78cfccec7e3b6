"""Tests of the wire: what requests become, and what goes back."""
