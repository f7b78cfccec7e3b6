from typing import final

@final
class PostFields:
    def __init__(self, **values: int) -> None: ...
