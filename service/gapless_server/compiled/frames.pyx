# cython: language_level=3, boundscheck=False, wraparound=False
"""Reads the posts out of a frame of commands, without a message for each.

A member counts as a post only if protobuf would read exactly these fields out of it, write them
back as the same bytes, and the rules of the fields would find nothing wrong. Everything else is
left to the ways that every command goes; so what is here refuses nothing and names no fault.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

cdef enum:
    LENGTH_DELIMITED = 2
    # What no field of a post comes near: a length of more is not looked at.
    LENGTH_BYTES_MAX = 4
    FIRST_PLACES = 64


class PostRules:
    """Where the fields of a post are, and what they may hold: as the contract says it."""

    def __init__(
        self,
        *,
        commands,
        post_message,
        request_id,
        channel_id,
        sender_id,
        body,
        data,
        content_type,
        message_id,
        identifier_characters_max,
        data_bytes_max,
        content_type_characters_max,
    ):
        """Takes the numbers of the fields, below 16 inside of a post, and the limits."""
        self.values = (
            commands, post_message, request_id, channel_id, sender_id, body, data, content_type,
            message_id, identifier_characters_max, data_bytes_max, content_type_characters_max,
        )


cdef struct Rules:
    uint32_t commands, post_message, request_id, channel_id, sender_id, body, data, content_type
    uint32_t message_id
    int identifier_max, data_max, content_type_max


cdef class FrameReader:
    """Reads frames by the same rules."""

    cdef Rules rules

    def __init__(self, rules):
        (
            self.rules.commands, self.rules.post_message, self.rules.request_id,
            self.rules.channel_id, self.rules.sender_id, self.rules.body, self.rules.data,
            self.rules.content_type, self.rules.message_id, self.rules.identifier_max,
            self.rules.data_max, self.rules.content_type_max,
        ) = rules.values

    def frame(self, bytes data, Py_ssize_t commands_max):
        """Returns a frame with posts.

        None if there are none, and if it has other fields than commands, too many, or is broken.
        """
        cdef PostFrame frame = PostFrame.__new__(PostFrame)
        cdef Py_ssize_t places = 0
        cdef bint has_posts = False
        cdef Span one
        cdef Py_ssize_t offset = 0
        cdef Py_ssize_t end = len(data)
        cdef const uint8_t* start = data
        cdef Member* members
        frame.data = data
        if end > <Py_ssize_t>0x7FFFFFFF:
            return None
        while offset < end:
            if not _next_field(start, &offset, end, self.rules.commands, &one):
                return None
            if frame.count == commands_max:
                return None
            if frame.count == places:
                places = 2 * places or FIRST_PLACES
                members = <Member*>realloc(frame.members, places * sizeof(Member))
                if members is NULL:
                    raise MemoryError
                frame.members = members
            self._read(start, one, &frame.members[frame.count])
            has_posts |= frame.members[frame.count].is_post
            frame.count += 1
        return frame if has_posts else None

    def request(self, bytes data):
        """Returns a frame of the one post that a PostMessageRequest of these bytes asks for."""
        cdef PostFrame frame = PostFrame.__new__(PostFrame)
        cdef Span whole
        frame.data = data
        if len(data) > <Py_ssize_t>0x7FFFFFFF:
            return None
        frame.members = <Member*>calloc(1, sizeof(Member))
        if frame.members is NULL:
            raise MemoryError
        frame.count = 1
        whole.start, whole.size = 0, <int>len(data)
        frame.members[0].whole = whole
        _clear(&frame.members[0])
        frame.members[0].is_post = self._read_post(data, whole, &frame.members[0])
        return frame if frame.members[0].is_post else None

    cdef void _read(self, const uint8_t* data, Span whole, Member* member) noexcept:
        cdef Py_ssize_t offset = whole.start
        cdef Py_ssize_t end = offset + whole.size
        cdef Span post
        _clear(member)
        member.whole = whole
        member.is_post = (
            _next_field(data, &offset, end, self.rules.post_message, &post)
            and offset == end
            and self._read_post(data, post, member)
        )

    cdef bint _read_post(self, const uint8_t* data, Span post, Member* member) noexcept:
        cdef Py_ssize_t offset = post.start
        cdef Py_ssize_t end = offset + post.size
        cdef uint32_t number = 0
        cdef uint32_t last = 0
        cdef Span* field
        while offset < end:
            number = data[offset] >> 3
            # In the order of their numbers, so that none comes twice.
            if number <= last:
                return False
            last = number
            if number == self.rules.request_id:
                field = &member.request_id
            elif number == self.rules.channel_id:
                field = &member.channel_id
            elif number == self.rules.sender_id:
                field = &member.sender_id
            elif number == self.rules.body:
                field = &member.body
            elif number == self.rules.message_id:
                field = &member.message_id
            else:
                return False
            if not _next_field(data, &offset, end, number, field):
                return False
        return (
            self._is_identifier(data, member.request_id)
            and self._is_identifier(data, member.channel_id)
            and self._is_identifier(data, member.sender_id)
            and (member.body.size < 0 or self._read_body(data, member))
            and (member.message_id.size < 0 or self._is_identifier(data, member.message_id))
        )

    cdef bint _read_body(self, const uint8_t* data, Member* member) noexcept:
        cdef Py_ssize_t offset = member.body.start
        cdef Py_ssize_t end = offset + member.body.size
        cdef int index
        if offset < end and data[offset] >> 3 == self.rules.data:
            if not _next_field(data, &offset, end, self.rules.data, &member.data):
                return False
            if not 0 < member.data.size <= self.rules.data_max:
                return False
        if offset < end:
            if not _next_field(data, &offset, end, self.rules.content_type, &member.content_type):
                return False
            if not 0 < member.content_type.size <= self.rules.content_type_max:
                return False
            for index in range(member.content_type.size):
                if data[member.content_type.start + index] >= 0x80:
                    return False
        return offset == end

    cdef bint _is_identifier(self, const uint8_t* data, Span span) noexcept:
        """Says so of what is ASCII only; other identifiers are left to the slow check."""
        cdef int index
        cdef uint8_t character
        if not 0 < span.size <= self.rules.identifier_max:
            return False
        for index in range(span.size):
            character = data[span.start + index]
            if character < 0x20 or character > 0x7E:
                return False
        return True


cdef class PostFrame:
    """A frame taken apart: which of its commands are posts, and where their fields are."""

    def __dealloc__(self):
        free(self.members)

    def __len__(self):
        return self.count

    cdef const uint8_t* bytes_of(self, Span span) noexcept:
        return (<const uint8_t*><char*>self.data) + span.start

    def member(self, Py_ssize_t index):
        """Returns the bytes of a command."""
        if not 0 <= index < self.count:
            raise IndexError(index)
        cdef Span span = self.members[index].whole
        return self.data[span.start : span.start + span.size]

    def has_others(self, Py_ssize_t bytes_min):
        """Says whether a command that is no post has more bytes than that."""
        cdef Py_ssize_t index
        for index in range(self.count):
            if not self.members[index].is_post and self.members[index].whole.size > bytes_min:
                return True
        return False

    def next_post(self, Py_ssize_t start, Py_ssize_t stop):
        """Returns the index of the first post from `start` on; `stop` if none is before that."""
        if not 0 <= start <= stop <= self.count:
            raise IndexError(start)
        while start < stop and not self.members[start].is_post:
            start += 1
        return start


cdef void _clear(Member* member) noexcept:
    memset(member, 0, sizeof(Member))
    member.request_id.size = member.channel_id.size = member.sender_id.size = -1
    member.body.size = member.data.size = member.content_type.size = -1
    member.message_id.size = -1


cdef bint _varint(
    const uint8_t* data, Py_ssize_t* offset, Py_ssize_t end, uint64_t* value
) noexcept:
    """Reads a number of at most LENGTH_BYTES_MAX bytes in its shortest form."""
    cdef int shift = 0
    cdef uint8_t byte
    value[0] = 0
    while offset[0] < end and shift < 7 * LENGTH_BYTES_MAX:
        byte = data[offset[0]]
        offset[0] += 1
        value[0] |= <uint64_t>(byte & 0x7F) << shift
        if byte < 0x80:
            return byte != 0 or shift == 0
        shift += 7
    return False


cdef bint _next_field(
    const uint8_t* data, Py_ssize_t* offset, Py_ssize_t end, uint32_t number, Span* found
) noexcept:
    """Steps over a length-delimited field; False if there is none of this number."""
    cdef uint64_t tag, size
    if not _varint(data, offset, end, &tag) or tag != (number << 3 | LENGTH_DELIMITED):
        return False
    if not _varint(data, offset, end, &size) or <Py_ssize_t>size > end - offset[0]:
        return False
    found.start, found.size = <uint32_t>offset[0], <int>size
    offset[0] += <Py_ssize_t>size
    return True
