# cython: language_level=3, boundscheck=False, wraparound=False
"""Keys of rows as bytes, and where a checkpoint cuts rows into chunks.

The plain forms, core/keys.py and checkpoint/chunks.py, do the same; tests hold that both agree.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t
from libc.stdlib cimport free
from libc.string cimport memchr

from gapless_server.compiled.buffers cimport (
    Buffer, put_big_endian, put_byte, put_bytes, reserve,
)


cdef extern from "Python.h":
    bint PyUnicode_IS_ASCII(object text)
    void* PyUnicode_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    bytes PyUnicode_AsUTF8String(object text)
    long long PyLong_AsLongLongAndOverflow(object number, int* overflow) except? -1
cdef enum:
    # As in core/keys.py.
    TUPLE = 1
    STRING = 2
    INTEGER = 3
    END = 0
    ESCAPE = 0xFF
    INTEGER_BYTES = 9


def encode_key(key):
    """Returns the bytes of a key."""
    cdef Buffer buffer = Buffer(NULL, 0, 0)
    try:
        _put_key(&buffer, key)
        return PyBytes_FromStringAndSize(<char*>buffer.data, buffer.size)
    finally:
        free(buffer.data)


def encode_keys(bytes prefix not None, keys):
    """Returns the prefix and the bytes of a key, for each."""
    cdef Buffer buffer = Buffer(NULL, 0, 0)
    cdef Py_ssize_t prefix_size = PyBytes_GET_SIZE(prefix)
    cdef list encoded = []
    try:
        reserve(&buffer, prefix_size)
        put_bytes(&buffer, <const uint8_t*>PyBytes_AS_STRING(prefix), prefix_size)
        for key in keys:
            buffer.size = prefix_size
            _put_key(&buffer, key)
            encoded.append(PyBytes_FromStringAndSize(<char*>buffer.data, buffer.size))
    finally:
        free(buffer.data)
    return encoded


def filled_ends(list keys not None, list rows not None, Py_ssize_t bytes_max):
    """Returns where rows in order are cut, so that each piece has as many as it can have.

    A piece has `bytes_max` bytes of keys and rows at most, or one row. All of them are bytes.
    """
    cdef Py_ssize_t index, size, start = 0, piece = 0, count = len(keys)
    cdef list ends = []
    if len(rows) != count:
        raise ValueError(f"{count} keys, and {len(rows)} rows")
    for index in range(count):
        size = PyBytes_GET_SIZE(<bytes?>keys[index]) + PyBytes_GET_SIZE(<bytes?>rows[index])
        if index > start and piece + size > bytes_max:
            ends.append(index)
            start, piece = index, 0
        piece += size
    if count:
        ends.append(count)
    return ends


cdef int _put_key(Buffer* buffer, key) except -1:
    cdef bytes data
    cdef int overflow = 0
    cdef long long number
    if isinstance(key, str):
        if PyUnicode_IS_ASCII(key):
            _put_text(buffer, <const uint8_t*>PyUnicode_DATA(key), PyUnicode_GET_LENGTH(key))
        else:
            data = PyUnicode_AsUTF8String(key)
            _put_text(buffer, <const uint8_t*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
    elif isinstance(key, int):
        reserve(buffer, 1 + INTEGER_BYTES)
        put_byte(buffer, INTEGER)
        number = PyLong_AsLongLongAndOverflow(key, &overflow)
        if overflow or number < 0:
            data = (key + (1 << 64)).to_bytes(INTEGER_BYTES, "big")
            put_bytes(buffer, <const uint8_t*>PyBytes_AS_STRING(data), INTEGER_BYTES)
        else:
            # The offset of 2^64 is a byte of its own.
            put_byte(buffer, 1)
            put_big_endian(buffer, number, INTEGER_BYTES - 1)
    else:
        reserve(buffer, 1)
        put_byte(buffer, TUPLE)
        for part in key:
            _put_key(buffer, part)
        reserve(buffer, 1)
        put_byte(buffer, END)
    return 0


cdef int _put_text(Buffer* buffer, const uint8_t* data, Py_ssize_t size) except -1:
    cdef Py_ssize_t index
    # Every byte may be a NUL, which takes two.
    reserve(buffer, 2 * size + 2)
    put_byte(buffer, STRING)
    if size == 0 or memchr(data, 0, size) is NULL:
        put_bytes(buffer, data, size)
    else:
        for index in range(size):
            put_byte(buffer, data[index])
            if data[index] == 0:
                put_byte(buffer, ESCAPE)
    put_byte(buffer, END)
    return 0
