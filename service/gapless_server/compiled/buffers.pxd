# cython: language_level=3
"""Bytes that grow at their end, and the forms of numbers in protobuf and msgpack."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport realloc
from libc.string cimport memcpy


cdef struct Buffer:
    uint8_t* data
    Py_ssize_t size
    Py_ssize_t capacity


cdef inline int reserve(Buffer* buffer, Py_ssize_t more) except -1:
    """Makes room for so many bytes: what is written then must not be more."""
    cdef Py_ssize_t capacity
    cdef uint8_t* data
    if buffer.size + more > buffer.capacity:
        capacity = 2 * (buffer.size + more)
        data = <uint8_t*>realloc(buffer.data, capacity)
        if data is NULL:
            raise MemoryError
        buffer.data, buffer.capacity = data, capacity
    return 0


cdef inline void put_byte(Buffer* buffer, uint8_t value) noexcept:
    buffer.data[buffer.size] = value
    buffer.size += 1


cdef inline void put_bytes(Buffer* buffer, const uint8_t* data, Py_ssize_t size) noexcept:
    memcpy(buffer.data + buffer.size, data, size)
    buffer.size += size


cdef inline Py_ssize_t varint_size(uint64_t value) noexcept:
    cdef Py_ssize_t size = 1
    while value >= 0x80:
        value >>= 7
        size += 1
    return size


cdef inline void put_varint(Buffer* buffer, uint64_t value) noexcept:
    while value >= 0x80:
        put_byte(buffer, <uint8_t>(value & 0x7F | 0x80))
        value >>= 7
    put_byte(buffer, <uint8_t>value)


cdef inline Py_ssize_t field_size(uint32_t tag, Py_ssize_t size) noexcept:
    """How long a string, bytes or message field is whose content has this size."""
    return varint_size(tag) + varint_size(size) + size


cdef inline void begin_field(Buffer* buffer, uint32_t tag, Py_ssize_t size) noexcept:
    put_varint(buffer, tag)
    put_varint(buffer, size)


cdef inline void put_field(
    Buffer* buffer, uint32_t tag, const uint8_t* data, Py_ssize_t size
) noexcept:
    begin_field(buffer, tag, size)
    put_bytes(buffer, data, size)


cdef inline Py_ssize_t number_size(uint32_t tag, int64_t value) noexcept:
    """How long an integer field is: 0 is not written."""
    return varint_size(tag) + varint_size(<uint64_t>value) if value else 0


cdef inline void put_number(Buffer* buffer, uint32_t tag, int64_t value) noexcept:
    if value:
        put_varint(buffer, tag)
        put_varint(buffer, <uint64_t>value)


cdef inline void put_big_endian(Buffer* buffer, uint64_t value, int size) noexcept:
    cdef int shift
    for shift in range(8 * (size - 1), -1, -8):
        put_byte(buffer, <uint8_t>(value >> shift))


cdef inline void pack_integer(Buffer* buffer, int64_t value) noexcept:
    """An integer as msgpack has it: in the shortest form. Reference: msgpack's specification."""
    cdef uint64_t bits = <uint64_t>value
    if value >= 0:
        if bits < 0x80:
            put_byte(buffer, <uint8_t>bits)
        elif bits < 1 << 8:
            put_byte(buffer, 0xCC)
            put_big_endian(buffer, bits, 1)
        elif bits < 1 << 16:
            put_byte(buffer, 0xCD)
            put_big_endian(buffer, bits, 2)
        elif bits < <uint64_t>1 << 32:
            put_byte(buffer, 0xCE)
            put_big_endian(buffer, bits, 4)
        else:
            put_byte(buffer, 0xCF)
            put_big_endian(buffer, bits, 8)
    elif value >= -32:
        put_byte(buffer, <uint8_t>bits)
    elif value >= -(1 << 7):
        put_byte(buffer, 0xD0)
        put_big_endian(buffer, bits, 1)
    elif value >= -(1 << 15):
        put_byte(buffer, 0xD1)
        put_big_endian(buffer, bits, 2)
    elif value >= -(<int64_t>1 << 31):
        put_byte(buffer, 0xD2)
        put_big_endian(buffer, bits, 4)
    else:
        put_byte(buffer, 0xD3)
        put_big_endian(buffer, bits, 8)


cdef inline void pack_text(Buffer* buffer, const uint8_t* data, Py_ssize_t size) noexcept:
    """A text of less than 64 KiB."""
    if size < 32:
        put_byte(buffer, <uint8_t>(0xA0 | size))
    elif size < 1 << 8:
        put_byte(buffer, 0xD9)
        put_big_endian(buffer, size, 1)
    else:
        put_byte(buffer, 0xDA)
        put_big_endian(buffer, size, 2)
    put_bytes(buffer, data, size)


cdef inline void pack_bytes(Buffer* buffer, const uint8_t* data, Py_ssize_t size) noexcept:
    if size < 1 << 8:
        put_byte(buffer, 0xC4)
        put_big_endian(buffer, size, 1)
    elif size < 1 << 16:
        put_byte(buffer, 0xC5)
        put_big_endian(buffer, size, 2)
    else:
        put_byte(buffer, 0xC6)
        put_big_endian(buffer, size, 4)
    put_bytes(buffer, data, size)
