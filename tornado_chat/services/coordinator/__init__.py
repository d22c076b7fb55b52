"""Decisions that one process makes for the whole cluster."""
