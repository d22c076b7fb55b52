"""Attacks on a server that is started for them, beside a conversation that must not notice them."""
