"""The contract as Python: the stubs that ``make protos`` generates from ``protos/gapless/v1``."""
