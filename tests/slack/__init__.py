"""Slack's events: what lines say, what they become, and that wrong outcomes are found."""
