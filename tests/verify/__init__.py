"""The recount of a log: a good one is found good, and whatever is done to its bytes is found."""
