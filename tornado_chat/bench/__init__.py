"""Benchmarks that compare this server with a baseline: ``tornado-chat bench`` and ``scripts/bench``."""

GC_LOG_VARIABLE = "TORNADO_CHAT_BENCH_GC_LOG"
"""The environment variable with the file to which a measured server writes its garbage collections."""

GC_DEFAULTS_VARIABLE = "TORNADO_CHAT_BENCH_GC_DEFAULTS"
"""The environment variable that lets a measured server keep Python's settings of the garbage collector."""
