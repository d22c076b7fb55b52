"""Event loop helpers: deferred results, background tasks, chunking, the clock, shared counters."""
