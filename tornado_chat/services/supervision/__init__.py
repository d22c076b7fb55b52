"""Supervision of sessions and support conversations: rights, observers and third participants."""
