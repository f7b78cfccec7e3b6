"""Programs that make or check files of this repository, and what they share."""
