"""Benchmarks that compare this server with a baseline: ``tornado-chat bench`` and ``scripts/bench``."""
