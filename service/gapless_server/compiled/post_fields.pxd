from libc.stdint cimport uint8_t, uint32_t


cdef struct Fields:
    uint32_t round_entry, stored_entry, stored_caller, stored_fingerprint, stored_answer
    uint32_t entry_position, entry_request_id, entry_event, event_posted
    uint32_t posted_channel_id, posted_message_id, posted_sequence, posted_sender_id
    uint32_t posted_body, answer_posted, response_message_id, response_sequence
    uint32_t response_receipt, receipt_changed, frame_result
    uint8_t command_number, channel_id_number, sender_id_number, body_number, message_id_number


cdef class PostFields:
    cdef Fields values
