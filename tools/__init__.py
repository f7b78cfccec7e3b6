"""Programs that make or check files of this repository; never imported by the service or the SDK."""
