# cython: language_level=3, boundscheck=False, wraparound=False
"""Decides runs of posts: from the fields of a frame to entries, answers and rows, in one pass.

What comes of a post is what the plain way makes of it, byte for byte; tests hold that both agree.
"""

from cpython.array cimport array, resize_smart
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItem, PyDict_SetItem
from cpython.ref cimport PyObject
from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcmp, memcpy

from gapless_server.compiled.buffers cimport (
    Buffer, begin_field, field_size, number_size, put_byte, put_bytes, put_field, put_number,
    reserve,
)
from gapless_server.compiled.frames cimport Member, PostFrame, Span
from gapless_server.compiled.message_rows cimport pack_message_row
from gapless_server.compiled.post_fields cimport Fields, PostFields
from gapless_server.compiled.shards cimport SHARD_BITS, Shard

from xxhash import xxh3_64_digest, xxh3_64_intdigest


cdef extern from "Python.h":
    str PyUnicode_DecodeASCII(const char* data, Py_ssize_t size, const char* errors)
cdef enum:
    DIGEST_BYTES = 8
    # The beginning of a message id, and two numbers in hexadecimal.
    MESSAGE_ID_MAX = 128
    # Whether an id is taken may have to be read from the disk; between such runs the event loop has
    # a chance.
    LOOKUPS_MAX = 10
    # So many request ids are hashed together, so that the memory that the index has them in is on
    # its way when the first of them is looked up: each would be waited for otherwise.
    HASHED_AHEAD = 50

cdef char* HEXADECIMAL = b"0123456789abcdef"


cdef class Channel:
    """An open channel that posts of this round go to: its head, and where its rows lie."""

    cdef bytes id_data, digest
    cdef str channel_id
    cdef int64_t head
    cdef object find_message, messages, sequences
    cdef dict message_rows, sequence_rows, head_rows


cdef class PostDecider:
    """Decides the posts of one round."""

    cdef Fields fields
    cdef object open_channel
    cdef list shards
    cdef array pairs
    cdef bytes time_field, id_seed
    cdef int64_t time_us
    cdef dict channels
    cdef Channel channel
    cdef bytes sender_data, sender_digest
    cdef Buffer entries, answers, row
    cdef public int64_t next_position

    def __init__(
        self, PostFields fields, open_channel, list shards, array pairs, bytes time_field,
        int64_t time_us, str id_seed,
    ):
        """Makes one for a round.

        `open_channel(channel_id)` returns the head of a channel that takes posts, what finds a
        message of it by its id, and the parts of the tables of its messages and its sequences and
        the rows of the heads; or None. `pairs` are
        those of the request index that are not saved yet, `time_field` is the commit time as a
        field of an entry, and ids begin with `id_seed`, which is ASCII.
        """
        self.fields = fields.values
        self.open_channel = open_channel
        self.shards = shards
        self.pairs = pairs
        self.time_field = time_field
        self.time_us = time_us
        self.id_seed = id_seed.encode("ascii")
        if len(self.id_seed) > MESSAGE_ID_MAX - 2 * 16 - 2:
            raise ValueError(f"the seed of ids {id_seed!r} is too long")
        self.channels = {}

    def __dealloc__(self):
        free(self.entries.data)
        free(self.answers.data)
        free(self.row.data)

    def run(
        self, PostFrame frame, Py_ssize_t start, Py_ssize_t stop, str caller,
        Py_ssize_t bytes_max, bint in_frame,
    ):
        """Decides the posts of a frame from `start` on, one after another.

        Ends before `stop`, before a command that is no post, before a post that the plain way has
        to look at, after LOOKUPS_MAX posts with ids of their own, and once entries have `bytes_max`
        bytes. Returns where it ended, the entries as fields of a StoredRound, and the answers: as
        results of a PipelineResponse, or without `in_frame` as the bare response of the one post.
        The state and the request index have what came of them.
        """
        cdef bytes scope = caller.encode() + b"\0" if caller else b""
        cdef bytes caller_data = caller.encode()
        cdef uint64_t[HASHED_AHEAD] hashes
        cdef Py_ssize_t index = start, hashed_from = start, hashed_to = start
        cdef int lookups = 0
        if not 0 <= start <= stop <= frame.count:
            raise IndexError(start)
        if len(self.shards) != 1 << SHARD_BITS:
            raise ValueError(f"{len(self.shards)} shards")
        self.entries.size = self.answers.size = 0
        while index < stop and frame.members[index].is_post and self.entries.size <= bytes_max:
            lookups += frame.members[index].message_id.size >= 0
            if lookups > LOOKUPS_MAX:
                break
            if index == hashed_to:
                hashed_from, hashed_to = index, min(index + HASHED_AHEAD, stop)
                self._hash(frame, hashed_from, hashed_to, scope, hashes)
            if not self._decide(
                frame, &frame.members[index], hashes[index - hashed_from], caller_data, in_frame
            ):
                break
            index += 1
        return (
            index,
            PyBytes_FromStringAndSize(<char*>self.entries.data, self.entries.size),
            PyBytes_FromStringAndSize(<char*>self.answers.data, self.answers.size),
        )

    cdef int _hash(
        self, PostFrame frame, Py_ssize_t start, Py_ssize_t stop, bytes scope, uint64_t* hashes
    ) except -1:
        """Hashes request ids as the index does, and has their slots brought along."""
        cdef Py_ssize_t index
        cdef uint64_t value
        for index in range(start, stop):
            value = 0
            if frame.members[index].is_post:
                value = xxh3_64_intdigest(scope + _bytes(frame, frame.members[index].request_id))
            if value == 0:
                value = 1
            (<Shard>self.shards[value & ((1 << SHARD_BITS) - 1)]).expect(value)
            hashes[index - start] = value
        return 0

    cdef bint _decide(
        self, PostFrame frame, Member* post, uint64_t value, bytes caller, bint in_frame
    ) except -1:
        """Decides one post; False, with nothing changed, if the plain way has to look at it."""
        cdef Shard shard = <Shard>self.shards[value & ((1 << SHARD_BITS) - 1)]
        cdef Py_ssize_t slot = shard.find(value)
        if shard.hashes.data.as_ulonglongs[slot] != 0:
            return False
        cdef Channel channel = self._channel(frame, post.channel_id)
        if channel is None or channel.head == INT64_MAX:
            return False
        cdef int64_t position = self.next_position
        cdef int64_t sequence = channel.head + 1
        cdef char[MESSAGE_ID_MAX] new_id
        cdef const char* message_id = new_id
        cdef Py_ssize_t id_size = post.message_id.size
        if id_size < 0:
            id_size = self._new_id(new_id, position)
        elif _is_free(channel, frame, post.message_id):
            message_id = <const char*>frame.bytes_of(post.message_id)
        else:
            return False
        self._write(frame, post, channel, caller, position, sequence, message_id, id_size, in_frame)
        self._keep(frame, post, channel, position, sequence, message_id, id_size)
        shard.fill(slot, value, position)
        cdef Py_ssize_t places = len(self.pairs)
        resize_smart(self.pairs, places + 2)
        self.pairs.data.as_ulonglongs[places] = value
        self.pairs.data.as_ulonglongs[places + 1] = position
        channel.head = sequence
        self.next_position = position + 1
        return True

    cdef Channel _channel(self, PostFrame frame, Span span):
        cdef Channel channel = self.channel
        cdef const uint8_t* data = frame.bytes_of(span)
        cdef PyObject* known
        if channel is not None and _equal(channel.id_data, data, span.size):
            return channel
        cdef str channel_id = PyUnicode_DecodeASCII(<char*>data, span.size, NULL)
        known = PyDict_GetItem(self.channels, channel_id)
        if known is not NULL:
            self.channel = <Channel>known
            return self.channel
        opened = self.open_channel(channel_id)
        if opened is None:
            return None
        channel = Channel.__new__(Channel)
        channel.channel_id = channel_id
        channel.id_data = _bytes(frame, span)
        channel.digest = xxh3_64_digest(channel.id_data)
        channel.head, channel.find_message, channel.messages, channel.sequences, heads = opened
        channel.head_rows = heads
        channel.message_rows, channel.sequence_rows = channel.messages.rows, channel.sequences.rows
        self.channels[channel_id] = self.channel = channel
        return channel

    cdef bytes _sender_digest(self, PostFrame frame, Span span):
        cdef const uint8_t* data = frame.bytes_of(span)
        if self.sender_data is None or not _equal(self.sender_data, data, span.size):
            self.sender_data = _bytes(frame, span)
            self.sender_digest = xxh3_64_digest(self.sender_data)
        return self.sender_digest

    cdef Py_ssize_t _new_id(self, char* into, int64_t position) noexcept:
        """Writes what Context.new_id makes first: the seed, the position, and 1."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(self.id_seed)
        cdef int digits = 1
        cdef int index
        memcpy(into, PyBytes_AS_STRING(self.id_seed), size)
        while digits < 16 and position >> (4 * digits):
            digits += 1
        for index in range(digits):
            into[size + index] = HEXADECIMAL[position >> (4 * (digits - 1 - index)) & 0xF]
        into[size + digits], into[size + digits + 1] = c"-", c"1"
        return size + digits + 2

    cdef int _write(
        self, PostFrame frame, Member* post, Channel channel, bytes caller, int64_t position,
        int64_t sequence, const char* message_id, Py_ssize_t id_size, bint in_frame,
    ) except -1:
        """Writes the entry and the answer: see writer/entries.py for their forms."""
        cdef Fields* tags = &self.fields
        cdef const uint8_t* id_data = <const uint8_t*>message_id
        cdef bint has_body = post.body.size >= 0
        cdef Py_ssize_t place = (
            number_size(tags.entry_position, position) + PyBytes_GET_SIZE(self.time_field)
        )
        cdef Py_ssize_t event = (
            field_size(tags.posted_channel_id, post.channel_id.size)
            + field_size(tags.posted_message_id, id_size)
            + number_size(tags.posted_sequence, sequence)
            + field_size(tags.posted_sender_id, post.sender_id.size)
        )
        if has_body:
            event += field_size(tags.posted_body, post.body.size)
        cdef Py_ssize_t typed_event = field_size(tags.event_posted, event)
        cdef Py_ssize_t shown = (
            place
            + field_size(tags.entry_request_id, post.request_id.size)
            + field_size(tags.entry_event, typed_event)
        )
        cdef Py_ssize_t response = (
            field_size(tags.response_message_id, id_size)
            + number_size(tags.response_sequence, sequence)
        )
        cdef int said = 2 + has_body + (post.message_id.size >= 0)
        cdef Py_ssize_t fingerprint = 1 + said * (1 + DIGEST_BYTES)
        cdef Py_ssize_t answer = field_size(tags.answer_posted, response)
        cdef Py_ssize_t stored = (
            field_size(tags.stored_entry, shown)
            + field_size(tags.stored_fingerprint, fingerprint)
            + field_size(tags.stored_answer, answer)
        )
        if caller:
            stored += field_size(tags.stored_caller, PyBytes_GET_SIZE(caller))
        cdef Buffer* into = &self.entries
        reserve(into, field_size(tags.round_entry, stored))
        begin_field(into, tags.round_entry, stored)
        begin_field(into, tags.stored_entry, shown)
        self._put_place(into, position)
        _put_span(into, tags.entry_request_id, frame, post.request_id)
        begin_field(into, tags.entry_event, typed_event)
        begin_field(into, tags.event_posted, event)
        _put_span(into, tags.posted_channel_id, frame, post.channel_id)
        put_field(into, tags.posted_message_id, id_data, id_size)
        put_number(into, tags.posted_sequence, sequence)
        _put_span(into, tags.posted_sender_id, frame, post.sender_id)
        if has_body:
            _put_span(into, tags.posted_body, frame, post.body)
        if caller:
            put_field(
                into, tags.stored_caller,
                <const uint8_t*>PyBytes_AS_STRING(caller), PyBytes_GET_SIZE(caller),
            )
        begin_field(into, tags.stored_fingerprint, fingerprint)
        self._put_fingerprint(into, frame, post, channel)
        begin_field(into, tags.stored_answer, answer)
        begin_field(into, tags.answer_posted, response)
        put_field(into, tags.response_message_id, id_data, id_size)
        put_number(into, tags.response_sequence, sequence)
        self._answer(position, sequence, id_data, id_size, place, response, in_frame)
        return 0

    cdef int _answer(
        self, int64_t position, int64_t sequence, const uint8_t* id_data, Py_ssize_t id_size,
        Py_ssize_t place, Py_ssize_t response, bint in_frame,
    ) except -1:
        """Writes the answer: the response, whose receipt says where, when, and that it changed."""
        cdef Fields* tags = &self.fields
        cdef Buffer* into = &self.answers
        cdef Py_ssize_t receipt = place + number_size(tags.receipt_changed, 1)
        response += field_size(tags.response_receipt, receipt)
        cdef Py_ssize_t result = field_size(tags.answer_posted, response)
        reserve(into, field_size(tags.frame_result, result))
        if in_frame:
            begin_field(into, tags.frame_result, result)
            begin_field(into, tags.answer_posted, response)
        put_field(into, tags.response_message_id, id_data, id_size)
        put_number(into, tags.response_sequence, sequence)
        begin_field(into, tags.response_receipt, receipt)
        self._put_place(into, position)
        put_number(into, tags.receipt_changed, 1)
        return 0

    cdef void _put_place(self, Buffer* into, int64_t position) noexcept:
        put_number(into, self.fields.entry_position, position)
        put_bytes(
            into, <const uint8_t*>PyBytes_AS_STRING(self.time_field),
            PyBytes_GET_SIZE(self.time_field),
        )

    cdef int _put_fingerprint(
        self, Buffer* into, PostFrame frame, Member* post, Channel channel
    ) except -1:
        """Writes what the post said: see core/fingerprint.py. The caller has made room."""
        cdef bint has_body = post.body.size >= 0
        cdef bint has_id = post.message_id.size >= 0
        cdef bytes sender = self._sender_digest(frame, post.sender_id)
        cdef bytes digest
        put_byte(into, self.fields.command_number)
        put_byte(into, self.fields.channel_id_number)
        put_byte(into, self.fields.sender_id_number)
        if has_body:
            put_byte(into, self.fields.body_number)
        if has_id:
            put_byte(into, self.fields.message_id_number)
        put_bytes(into, <const uint8_t*>PyBytes_AS_STRING(channel.digest), DIGEST_BYTES)
        put_bytes(into, <const uint8_t*>PyBytes_AS_STRING(sender), DIGEST_BYTES)
        if has_body:
            digest = xxh3_64_digest(_bytes(frame, post.body))
            put_bytes(into, <const uint8_t*>PyBytes_AS_STRING(digest), DIGEST_BYTES)
        if has_id:
            digest = xxh3_64_digest(_bytes(frame, post.message_id))
            put_bytes(into, <const uint8_t*>PyBytes_AS_STRING(digest), DIGEST_BYTES)
        return 0

    cdef int _keep(
        self, PostFrame frame, Member* post, Channel channel, int64_t position, int64_t sequence,
        const char* message_id, Py_ssize_t id_size,
    ) except -1:
        """Puts the rows into the state, as messages.py does; that of the message is packed."""
        cdef str id_text = PyUnicode_DecodeASCII(message_id, id_size, NULL)
        cdef object number = sequence
        pack_message_row(&self.row, frame, post, position, sequence, self.time_us)
        PyDict_SetItem(
            channel.message_rows, id_text,
            PyBytes_FromStringAndSize(<char*>self.row.data, self.row.size),
        )
        if channel.messages.order is not None:
            channel.messages.order.add(id_text)
        PyDict_SetItem(channel.sequence_rows, number, id_text)
        if channel.sequences.order is not None:
            channel.sequences.order.add(number)
        PyDict_SetItem(channel.head_rows, channel.channel_id, number)
        return 0


cdef bint _is_free(Channel channel, PostFrame frame, Span message_id) except -1:
    """Says whether no message of a channel has an id. Raises what a read of the state raises."""
    cdef str text = PyUnicode_DecodeASCII(
        <char*>frame.bytes_of(message_id), message_id.size, NULL
    )
    return channel.find_message(text) is None


cdef inline void _put_span(Buffer* into, uint32_t tag, PostFrame frame, Span span) noexcept:
    put_field(into, tag, frame.bytes_of(span), span.size)


cdef inline bytes _bytes(PostFrame frame, Span span):
    return PyBytes_FromStringAndSize(<char*>frame.bytes_of(span), span.size)


cdef inline bint _equal(bytes known, const uint8_t* data, Py_ssize_t size) noexcept:
    return PyBytes_GET_SIZE(known) == size and memcmp(PyBytes_AS_STRING(known), data, size) == 0
