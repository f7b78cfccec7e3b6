"""The blocking client. All but transport, pipeline and watchdog is generated from ``_async``."""
