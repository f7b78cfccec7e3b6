"""One contract suite for every journal, and what only the SQLite journal can get wrong."""
