"""Replays the events of a Slack workspace through the SDK; knows nothing of the service inside."""
