"""Measuring this server beside its yardsticks: ``tornado-chat bench`` and ``scripts/bench``."""
