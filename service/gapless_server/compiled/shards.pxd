from cpython.array cimport array
from libc.stdint cimport uint64_t


cdef class Shard:
    cdef public array hashes
    cdef public array positions
    cdef public Py_ssize_t mask
    cdef public Py_ssize_t count

    cdef Py_ssize_t find(self, uint64_t value) noexcept
    cpdef void fill(self, Py_ssize_t slot, uint64_t value, uint64_t position, int load_numerator=*)
    cdef void _grow(self)
