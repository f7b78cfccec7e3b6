"""The client for asyncio. All but transport and pipeline is the source of ``gapless._sync``."""
