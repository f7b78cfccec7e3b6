# cython: language_level=3
"""Where all stands that is written for a post: the tags and numbers of its fields."""


cdef class PostFields:
    """The tags and numbers of all that is written for a post: as the contract says it."""

    def __init__(
        self, *, round_entry, stored_entry, stored_caller, stored_fingerprint, stored_answer,
        entry_position, entry_request_id, entry_event, event_posted, posted_channel_id,
        posted_message_id, posted_sequence, posted_sender_id, posted_body, answer_posted,
        response_message_id, response_sequence, response_receipt, receipt_changed, frame_result,
        command_number, channel_id_number, sender_id_number, body_number, message_id_number,
    ):
        """Takes the numbers of fields where a name says so, and their tags elsewhere."""
        self.values = Fields(
            round_entry, stored_entry, stored_caller, stored_fingerprint, stored_answer,
            entry_position, entry_request_id, entry_event, event_posted, posted_channel_id,
            posted_message_id, posted_sequence, posted_sender_id, posted_body, answer_posted,
            response_message_id, response_sequence, response_receipt, receipt_changed,
            frame_result, command_number, channel_id_number, sender_id_number, body_number,
            message_id_number,
        )
