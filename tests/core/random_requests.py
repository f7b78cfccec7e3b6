"""Requests with values near the limits of their fields, right or wrong."""

from __future__ import annotations

import random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

TEXTS = ("", "a", "a b", "é", "é", "\n", "x" * 128, "x" * 129, "x" * 70_000)
NUMBERS = (0, 1, 2, 7, 1_000, 1_001, 2**31 - 1)


def fill(message: Any, dice: random.Random) -> None:
    """Sets some single fields to values near their limits."""
    for field in message.DESCRIPTOR.fields:
        if field.is_repeated or dice.random() < 0.3:
            continue
        if field.message_type is not None:
            if field.message_type.file.package == "gapless.v1":
                getattr(message, field.name).SetInParent()
                fill(getattr(message, field.name), dice)
        elif field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            text = dice.choice(TEXTS)
            is_bytes = field.type == FieldDescriptor.TYPE_BYTES
            setattr(message, field.name, text.encode() if is_bytes else text)
        elif field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
            setattr(message, field.name, True)
        else:
            setattr(message, field.name, dice.choice(NUMBERS))
