"""The messages in which the journal keeps entries; nothing else lives here."""
