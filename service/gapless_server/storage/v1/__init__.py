"""The storage format, as stubs that ``make protos`` generates."""
