from typing import final

class PostRules:
    def __init__(
        self,
        *,
        commands: int,
        post_message: int,
        request_id: int,
        channel_id: int,
        sender_id: int,
        body: int,
        data: int,
        content_type: int,
        message_id: int,
        identifier_characters_max: int,
        data_bytes_max: int,
        content_type_characters_max: int,
    ) -> None: ...

@final
class FrameReader:
    def __init__(self, rules: PostRules) -> None: ...
    def frame(self, data: bytes, commands_max: int) -> PostFrame | None: ...
    def request(self, data: bytes) -> PostFrame | None: ...

@final
class PostFrame:
    @property
    def data(self) -> bytes: ...
    @property
    def count(self) -> int: ...
    def __len__(self) -> int: ...
    def member(self, index: int) -> bytes: ...
    def has_others(self, bytes_min: int) -> bool: ...
    def next_post(self, start: int, stop: int) -> int: ...
