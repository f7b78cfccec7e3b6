"""Backups, restores, exports and imports: from a running service to a namespace elsewhere."""
