"""What can be wrong with what a log is to be made of, or with the place for it."""


class UnusableBackup(Exception):
    """What is to be restored is not there, or is nothing that this version can read."""


class DamagedBackup(Exception):
    """What is to be restored is not what was backed up, or breaks a promise."""


class PlaceTaken(Exception):
    """There is a log already where one is to be restored."""
