# cython: language_level=3
"""The row of a message as bytes: a MessageRow as msgspec writes it, field by field in its order."""

from libc.stdint cimport int64_t

from gapless_server.compiled.buffers cimport (
    Buffer, pack_bytes, pack_integer, pack_text, put_byte, reserve,
)
from gapless_server.compiled.frames cimport Member, PostFrame, Span

cdef enum:
    # The numbers, and the tags and lengths around the fields.
    OVERHEAD_MAX = 512


cdef inline Py_ssize_t _size(Span span) noexcept:
    return span.size if span.size > 0 else 0


cdef inline int pack_message_row(
    Buffer* row, PostFrame frame, Member* post, int64_t position, int64_t sequence,
    int64_t time_us,
) except -1:
    """Writes the row of a new post in the place of what the buffer holds."""
    row.size = 0
    cdef Py_ssize_t texts = post.sender_id.size + _size(post.content_type)
    reserve(row, OVERHEAD_MAX + texts + _size(post.data))
    put_byte(row, 0x9E)  # an array of 14
    pack_integer(row, sequence)
    pack_text(row, frame.bytes_of(post.sender_id), post.sender_id.size)
    pack_bytes(row, frame.bytes_of(post.data), _size(post.data))
    pack_text(row, frame.bytes_of(post.content_type), _size(post.content_type))
    put_byte(row, 0x90)  # attributes: none
    pack_integer(row, 1)  # version
    pack_integer(row, time_us)
    pack_integer(row, 0)  # never edited
    pack_integer(row, 0)  # nor deleted
    pack_text(row, NULL, 0)  # no reply
    pack_integer(row, 0)
    put_byte(row, 0xC3 if post.body.size >= 0 else 0xC2)
    pack_integer(row, position)
    pack_integer(row, 0)  # never erased
    return 0
