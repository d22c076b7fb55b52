"""The demo: a temporary server with sample people."""
