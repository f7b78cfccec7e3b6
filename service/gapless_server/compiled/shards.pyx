# cython: language_level=3, boundscheck=False, wraparound=False
"""A shard of the request index: see writer/requests.py, whose plain form does the same."""

from array import array as new_array

from cpython.array cimport array
from libc.stdint cimport uint64_t

cdef extern from *:
    """
    #if defined(__GNUC__) || defined(__clang__)
    #define prefetch(address) __builtin_prefetch((address), 1)
    #else
    #define prefetch(address) ((void)(address))
    #endif
    """
    void prefetch(void* address) noexcept

# As in writer/requests.py; a test holds that they are the same.
cdef enum:
    REQUEST_SHARDS = 1 << SHARD_BITS
    _CAPACITY = 64
    _NUMERATOR = 3
    _DENOMINATOR = 5
CONSTANTS = (REQUEST_SHARDS, _CAPACITY, _NUMERATOR, _DENOMINATOR)


cdef class Shard:
    """Hashes and positions in slots; a search goes from a hash's own slot to the next free one."""

    def __init__(self, Py_ssize_t capacity=_CAPACITY):
        self.hashes = new_array("Q", bytes(8 * capacity))
        self.positions = new_array("Q", bytes(8 * capacity))
        self.mask = capacity - 1
        self.count = 0

    cdef Py_ssize_t find(self, uint64_t value) noexcept:
        cdef unsigned long long* hashes = self.hashes.data.as_ulonglongs
        cdef Py_ssize_t slot = <Py_ssize_t>(value >> SHARD_BITS) & self.mask
        while hashes[slot] != 0 and hashes[slot] != value:
            slot = (slot + 1) & self.mask
        return slot

    cdef void expect(self, uint64_t value) noexcept:
        """Has a hash's own slot brought into the processor's caches, to be searched soon."""
        cdef Py_ssize_t slot = <Py_ssize_t>(value >> SHARD_BITS) & self.mask
        prefetch(&self.hashes.data.as_ulonglongs[slot])
        prefetch(&self.positions.data.as_ulonglongs[slot])

    def slot(self, uint64_t value):
        """Returns the slot that has a hash, or the free one that it would be put into."""
        return self.find(value)

    cpdef void fill(
        self, Py_ssize_t slot, uint64_t value, uint64_t position, int load_numerator=_NUMERATOR
    ):
        """Puts a hash into its free slot, and makes room for the next one."""
        if not 0 <= slot <= self.mask:
            raise IndexError(slot)
        self.hashes.data.as_ulonglongs[slot] = value
        self.positions.data.as_ulonglongs[slot] = position
        self.count += 1
        if (self.count + 1) * _DENOMINATOR > (self.mask + 1) * load_numerator:
            self._grow()

    cdef void _grow(self):
        cdef Shard larger = Shard(2 * (self.mask + 1))
        cdef unsigned long long* hashes = self.hashes.data.as_ulonglongs
        cdef unsigned long long* positions = self.positions.data.as_ulonglongs
        cdef Py_ssize_t index, slot
        for index in range(self.mask + 1):
            if hashes[index] != 0:
                slot = larger.find(hashes[index])
                larger.hashes.data.as_ulonglongs[slot] = hashes[index]
                larger.positions.data.as_ulonglongs[slot] = positions[index]
        self.hashes, self.positions, self.mask = larger.hashes, larger.positions, larger.mask

    def load(self, stored):
        """Takes over the slots of a shard that was stored. Raises ValueError if it is none."""
        cdef array hashes = new_array("Q", stored.hashes)
        cdef array positions = new_array("Q", stored.positions)
        cdef Py_ssize_t capacity = len(hashes)
        # What is wrong here would be searched beyond its end, or for ever.
        if capacity == 0 or capacity & (capacity - 1) or len(positions) != capacity:
            raise ValueError(f"a shard has {capacity} hashes and {len(positions)} positions")
        if not 0 <= stored.filled < capacity:
            raise ValueError(f"a shard has {capacity} slots, {stored.filled} of them are filled")
        self.hashes, self.positions = hashes, positions
        self.mask = capacity - 1
        self.count = stored.filled


def add_pairs(list shards, array pairs, const unsigned char[:] behind, int load_numerator):
    """Adds hashes with positions, one after the other in `pairs`, to the shards that are behind.

    Those that a shard has already are left as they are.
    """
    cdef Py_ssize_t index, slot
    cdef uint64_t value
    cdef Shard shard
    if len(shards) != REQUEST_SHARDS or len(behind) != REQUEST_SHARDS:
        raise ValueError(f"{len(shards)} shards, and {len(behind)} that may be behind")
    for index in range(0, len(pairs) - 1, 2):
        value = pairs.data.as_ulonglongs[index]
        if behind[value & (REQUEST_SHARDS - 1)]:
            shard = shards[value & (REQUEST_SHARDS - 1)]
            slot = shard.find(value)
            if shard.hashes.data.as_ulonglongs[slot] == 0:
                shard.fill(slot, value, pairs.data.as_ulonglongs[index + 1], load_numerator)
