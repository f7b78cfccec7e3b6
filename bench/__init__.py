"""The benchmark: the same work through gapless and through what people would use instead."""
