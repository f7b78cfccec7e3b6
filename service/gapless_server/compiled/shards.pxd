from cpython.array cimport array
from libc.stdint cimport uint64_t

cdef enum:
    SHARD_BITS = 8


cdef class Shard:
    cdef readonly array hashes
    cdef readonly array positions
    cdef readonly Py_ssize_t mask
    cdef readonly Py_ssize_t count

    cdef Py_ssize_t find(self, uint64_t value) noexcept
    cdef void expect(self, uint64_t value) noexcept
    cpdef void fill(self, Py_ssize_t slot, uint64_t value, uint64_t position, int load_numerator=*)
    cdef void _grow(self)
