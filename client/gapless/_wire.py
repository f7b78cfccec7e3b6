"""Protobuf's wire format, as far as it is written by hand: fields that have a tag and a length."""

from __future__ import annotations

from typing import Final

_LENGTH_DELIMITED: Final = 2
# What is longer than this is too rare for its header to be kept.
_KEPT_SIZE_MAX: Final = 4096


def varint(value: int) -> bytes:
    """A number from 0 on, as the wire has it."""
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def tag(field_number: int) -> bytes:
    """The tag of a field that has a length."""
    return varint(field_number << 3 | _LENGTH_DELIMITED)


class Headers(dict[int, bytes]):
    """What stands before data, by the size of the data: ``headers[len(data)] + data``.

    Each is put together once, as finding it is several times cheaper.
    """

    def __init__(self, *field_numbers: int, is_scalar: bool, trailer_size: int = 0) -> None:
        """`field_numbers` are those of the fields that the data lies in, the outermost first.

        Args:
            field_numbers: one, or more if they lie in each other.
            is_scalar: the innermost is a text or bytes, which is not written if it is empty.
            trailer_size: how much follows the data within the fields around the innermost.
        """
        super().__init__()
        self._tags = [tag(number) for number in reversed(field_numbers)]
        self._is_scalar = is_scalar
        self._trailer_size = trailer_size

    def __missing__(self, size: int) -> bytes:
        innermost, *around = self._tags
        header = b"" if self._is_scalar and not size else innermost + varint(size)
        for one in around:
            header = one + varint(len(header) + size + self._trailer_size) + header
        if size <= _KEPT_SIZE_MAX:
            self[size] = header
        return header
