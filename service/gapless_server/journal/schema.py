"""The tables of a log in SQLite, as every format that can be read has them."""

from __future__ import annotations

from typing import Final

from gapless_server.journal.port import Round, digest_of

FORMAT_VERSION: Final = 1
# "GAPL": tells our files from other SQLite files.
APPLICATION_ID: Final = 0x4741504C
# Of a new file; any is read. With SQLite's 4 KiB, a round of a thousand commands is a fifth
# slower to write; with 16 KiB, a round of one command writes as much as one of forty.
PAGE_BYTES: Final = 8192

SCHEMA = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
    """
CREATE TABLE rounds (
    first_position INTEGER PRIMARY KEY,
    last_position INTEGER NOT NULL,
    chain_hash BLOB NOT NULL,
    data BLOB NOT NULL
) STRICT""",
    # Beside the rounds: a rewritten round keeps its size, so that it is overwritten in its place.
    # A row has two digests in one value: of the data as it was committed, and as it is since.
    """
CREATE TABLE rewritten_rounds (
    first_position INTEGER PRIMARY KEY,
    data_digest BLOB NOT NULL
) STRICT""",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {FORMAT_VERSION}",
)

INSERT_ROUND = (
    "INSERT INTO rounds (first_position, last_position, data, chain_hash) VALUES (?, ?, ?, ?)"
)
INSERT_REWRITTEN = "INSERT OR REPLACE INTO rewritten_rounds VALUES (?, ?)"

_DIGESTS = "FROM rewritten_rounds AS w WHERE w.first_position = r.first_position"
# The columns of a round, in the order of its fields.
ROUND_COLUMNS = f"""first_position, last_position, data, chain_hash,
    (SELECT substr(data_digest, 1, 32) {_DIGESTS})"""
# What the data of a rewritten round must have as its digest; nothing if it was never rewritten.
SINCE_DIGEST_COLUMN = f"(SELECT substr(data_digest, 33) {_DIGESTS})"


def rewritten_values(record: Round) -> tuple[int, bytes]:
    """Returns the values of a rewritten round for INSERT_REWRITTEN."""
    return record.first_position, record.committed_digest + digest_of(record.data)
