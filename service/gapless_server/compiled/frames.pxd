from libc.stdint cimport uint8_t, uint32_t


cdef struct Span:
    # Offset in the frame and length; `size` is -1 where the field is not set.
    uint32_t start
    int size


cdef struct Member:
    # One command of a frame, and the fields of a post. It is another command, or one that only
    # protobuf can judge, where `is_post` is 0.
    Span whole
    Span request_id
    Span channel_id
    Span sender_id
    Span body
    Span data
    Span content_type
    Span message_id
    int is_post


cdef class PostFrame:
    cdef readonly bytes data
    cdef Member* members
    cdef readonly Py_ssize_t count
    cdef const uint8_t* bytes_of(self, Span span) noexcept
