"""Tests of the pure core: given what happened, when a command comes, then events or a refusal."""
