"""Recounts every promise of a log from its rounds alone; changes nothing, serves nothing."""
