"""Logs of every format that was ever released: today's code reads them as the code of then did."""
