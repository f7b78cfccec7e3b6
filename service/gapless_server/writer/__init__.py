"""Runs the one writer of each namespace: orders commands, commits rounds, releases answers."""
